package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"holdfast/edge/cli"
)

func TestPolicy_ReadOnlyIsExplained(t *testing.T) {
	n := governed(t, digitsService(1))
	second := n.desk.sign(draft{version: 2, services: []string{digitsService(1)}})
	n.again(n.ReadOnly)
	t.Run("WarningSaysWhy", func(t *testing.T) {
		n := n.in(t)
		status := n.verb("status")
		if !regexp.MustCompile(`warning state-read-only: .*read-only file system`).MatchString(status.stdout) {
			t.Errorf("status says\n%s", status.stdout)
		}
		said := n.apply(second)
		said.want(t, cli.ExitUnreachable, "read-only file system")
	})
	t.Run("WritableWhileRunning", func(t *testing.T) {
		n := n.in(t)
		if err := n.Uncover(); err != nil {
			t.Fatal(err)
		}
		n.apply(second).want(t, cli.ExitOK)
	})
	t.Run("NothingWasBuiltAnew", func(t *testing.T) {
		n := n.in(t)
		n.again(func() error { return os.Remove(filepath.Join(n.StateFolder(), "state.db")) }, n.ReadOnly)
		status := n.verb("status")
		if regexp.MustCompile(`built anew`).MatchString(status.stdout) {
			t.Errorf("on a read-only disk status says\n%s", status.stdout)
		}
		n.again(n.Uncover)
	})
}

func TestPolicy_AgeByASlowClock(t *testing.T) {
	t.Parallel()
	n := governed(t, digitsService(1))
	n.stopAgent()
	program := n.bootSlow()
	n.startAgent()
	status := runProgram(t, program, "--address", n.Socket(), "status")
	if !regexp.MustCompile(`in force for \d`).MatchString(status.stdout) {
		t.Errorf("status says\n%s", status.stdout)
	}
}
