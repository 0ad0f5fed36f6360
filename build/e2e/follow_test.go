package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge/cli"
)

// TestFollow_Logs has a person follow what an instance prints while the agent is killed and
// comes again.
func TestFollow_Logs(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(1))
	instance := n.awaitReady("digits", 1)[0]
	prints := func(lines ...string) {
		t.Helper()
		log, err := os.OpenFile(instance.LogPath, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		if _, err := log.WriteString(strings.Join(lines, "\n") + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	prints("line 1", "line 2")
	out := filepath.Join(t.TempDir(), "out")
	printed, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer printed.Close()
	follower := exec.Command(shop.binary(), "--address", n.Socket(), "logs", "-f", "-n", "2", "line/digits")
	follower.Stdout = printed
	if err := follower.Start(); err != nil {
		t.Fatal(err)
	}
	shows := func(last int) {
		t.Helper()
		var want strings.Builder
		for i := range last {
			fmt.Fprintf(&want, "line %d\n", i+1)
		}
		n.await("what is printed", func(context.Context) error {
			got, err := os.ReadFile(out)
			if err == nil && string(got) != want.String() {
				err = fmt.Errorf("it has printed\n%s\nwant\n%s", got, want.String())
			}
			return err
		})
	}
	shows(2)
	prints("line 3")
	shows(3)
	if err := n.KillAgent(); err != nil {
		t.Fatal(err)
	}
	prints("line 4", "line 5")
	n.startAgent()
	shows(5)
	prints("line 6")
	shows(6)
	if err := follower.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := follower.Wait(); !errors.As(err, &exit) || exit.ExitCode() != cli.ExitInterrupted {
		t.Errorf("interrupted it ends with %v, want exit code %d", err, cli.ExitInterrupted)
	}
}
