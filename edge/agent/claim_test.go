package agent

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"holdfast/edge"
)

func TestClaimNamespace(t *testing.T) {
	address := t.TempDir() // no other test has it
	first, err := claimNamespace(address, "one")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, err = claimNamespace(address, "one")
	if !errors.Is(err, edge.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("second claim = %v, want %v and its holder", err, edge.ErrLocked)
	}
	if edge.HintOf(err) == "" {
		t.Error("error has no remedy")
	}
	other, err := claimNamespace(address, "two")
	if err != nil {
		t.Errorf("claim of another namespace = %v, want none", err)
	}
	if err := errors.Join(other.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := claimNamespace(address, "one")
	if err != nil {
		t.Errorf("claim after the first was given up = %v, want none", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
