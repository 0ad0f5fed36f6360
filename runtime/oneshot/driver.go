package oneshot

import (
	"context"

	"holdfast/edge"
)

// Driver makes the containers. runtime/containerd does for real.
type Driver interface {
	// Ready brings a container of w up to where only its program has to be let go. A
	// failed one leaves nothing behind. edge.ErrUnavailable: the daemon is away.
	Ready(ctx context.Context, w edge.Workload, id string) (Container, error)
	// Remnants lists the containers that Ready has made and that are still there,
	// those of earlier agents among them.
	Remnants(ctx context.Context) ([]string, error)
	// Remove ends one of them and takes it away with all that belonged to it. What is
	// not there needs nothing.
	Remove(ctx context.Context, id string) error
}

// Container is one that stands ready. It is run once at most; Driver.Remove takes it away.
type Container interface {
	// Run lets the program go and returns when it is dead and the capacity it used free:
	// by itself, or killed because ctx ended or it wrote too much. An error says that it
	// could not be let go, or that nobody knows how it ended.
	Run(ctx context.Context, order Order) (Result, error)
	// Close lets go of what the agent holds of it. The container stays.
	Close() error
}

// Order is what a program is given.
type Order struct {
	Input []byte     // on its standard input, or in its file
	Class edge.Class // whose weight it has among the instances
	Most  int64      // bytes of output; more is too much
}

// Result is what became of a program.
type Result struct {
	Begun     bool   // it may have begun, also where nobody knows what became of it
	Output    []byte // of its standard output, or of its file
	Complaint string // the last lines of its standard error
	Exit      edge.Exit
	Excess    bool  // it wrote more than it may, and was killed
	Missing   error // why there is no output, of one that was to write a file
}
