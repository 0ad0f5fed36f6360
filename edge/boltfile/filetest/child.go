package filetest

import (
	"context"
	"os"
	"os/exec"
	"strings"

	"holdfast/edge/boltfile"
)

// execEnv names the emulator a test binary is run with, as go test -exec does, where the
// kernel cannot start it by itself.
const execEnv = "HOLDFAST_EXEC"

// checkVerb makes a test binary the child process that checks a file.
const checkVerb = "check-database"

// BeChild is the rest of the process when that is a child which Child started. It comes
// first in a TestMain.
func BeChild(kinds map[string]boltfile.Layout) {
	if len(os.Args) > 1 && os.Args[1] == checkVerb {
		os.Exit(boltfile.CheckMain(kinds, os.Args[2:]))
	}
}

// Child gives the command that checks a file of a kind, for Options. It starts the test
// binary.
func Child(kind string) func(ctx context.Context, path string) *exec.Cmd {
	return func(ctx context.Context, path string) *exec.Cmd {
		args := append(strings.Fields(os.Getenv(execEnv)), os.Args[0], checkVerb, kind, path)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // under -race it would linger a second
		return cmd
	}
}
