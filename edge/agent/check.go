package agent

import (
	"context"
	"os/exec"

	"holdfast/policycache"
)

// CheckVerb is the argument by which the program is its own child that looks at a
// database, which may be damaged in a way that kills whoever looks.
const CheckVerb = "check-database"

// CheckMain is the main function of that child.
func CheckMain(args []string) int { return policycache.CheckMain(args) }

// checker starts the child. The running program is named by the kernel, so that an
// update of its file does not matter.
func checker(ctx context.Context, path string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", CheckVerb, path)
	cmd.Env = []string{}
	return cmd
}
