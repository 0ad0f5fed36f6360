package agent

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"holdfast/edge"
)

func TestLockState(t *testing.T) {
	dir := t.TempDir()
	first, err := lockState(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockState(dir)
	if !errors.Is(err, edge.ErrLocked) {
		t.Fatalf("second lock = %v, want %v", err, edge.ErrLocked)
	}
	if want := fmt.Sprintf("process %d", os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not name the holder %q", err, want)
	}
	if edge.HintOf(err) == "" {
		t.Error("error has no remedy")
	}
	first.Close()
	second, err := lockState(dir)
	if err != nil {
		t.Fatalf("lock after the first was given up: %v", err)
	}
	second.Close()
}
