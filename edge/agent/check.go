package agent

import (
	"context"
	"os"
	"os/exec"

	"holdfast/edge/boltfile"
	"holdfast/mqtt/journal"
	"holdfast/policycache"
	"holdfast/runtime/containerd/salvage"
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

// kindContainerd: the child reads from its input what it is to do with containerd's.
const kindContainerd = "containerd"

// CheckMain is the main function of that child.
func CheckMain(args []string) int {
	if len(args) == 1 && args[0] == kindContainerd {
		return salvage.ChildMain(os.Stdin, os.Stdout)
	}
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
