package agent

import (
	"context"
	"os/exec"

	"holdfast/edge/boltfile"
	"holdfast/mqtt/journal"
	"holdfast/policycache"
)

// CheckVerb is the argument by which the program is its own child that looks at a
// database, which may be damaged in a way that kills whoever looks. It is followed by
// the kind of database and its path.
const CheckVerb = "check-database"

// The kinds of databases.
const (
	kindState = "state" // the policy cache's state.db
	kindLink  = "link"  // the journal's link.db
)

// CheckMain is the main function of that child.
func CheckMain(args []string) int {
	return boltfile.CheckMain(map[string]boltfile.Layout{
		kindState: policycache.Layout(),
		kindLink:  journal.Layout(),
	}, args)
}

// checker starts the child for databases of a kind. The running program is named by
// the kernel, so that an update of its file does not matter.
func checker(kind string) func(ctx context.Context, path string) *exec.Cmd {
	return func(ctx context.Context, path string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "/proc/self/exe", CheckVerb, kind, path)
		cmd.Env = []string{}
		return cmd
	}
}
