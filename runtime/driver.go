package runtime

import (
	"context"
	"io"
	"time"

	"holdfast/edge"
)

// Driver runs containers. It is the boundary to containerd; a fake with the same
// behaviour stands behind the same conformance suite (runtime/drivertest).
//
// Every method may answer edge.ErrUnavailable while the daemon is down; the
// caller backs off and asks again. Removing, stopping or signalling what is not
// there succeeds.
type Driver interface {
	// Start creates and starts one instance of w under the given id, and returns
	// once its process runs. A failed start leaves nothing behind.
	Start(ctx context.Context, w edge.Workload, id string) (edge.Instance, error)
	// Instances lists what the driver holds, running or ended, among it what an
	// earlier agent started. One that neither runs nor has an Exit came to an end
	// nobody saw, or was never brought up well; it is there to be removed.
	Instances(ctx context.Context) ([]edge.Instance, error)
	// Wait blocks until the instance has ended and says how. A restart of the
	// daemon meanwhile is waited out, not reported as an exit.
	Wait(ctx context.Context, id string) (edge.Exit, error)
	// Stop asks the instance to end with its stop signal, then kills it after
	// grace, and returns when its process is gone.
	Stop(ctx context.Context, id string, grace time.Duration) error
	// Remove deletes the instance and everything that belonged to it, killing it
	// first if it still runs.
	Remove(ctx context.Context, id string) error
	// Usage measures a running instance.
	Usage(ctx context.Context, id string) (edge.Usage, error)
}

// Suspender halts running instances, which is optional: without it no task ever gives
// way. Nothing stays halted: Stop and Remove let an instance go on first, and a driver
// that lists what an earlier agent halted has let it go on.
type Suspender interface {
	// Suspend halts every process of the instance, within a few milliseconds and without
	// the daemon, or changes nothing and says why. It keeps its memory.
	Suspend(ctx context.Context, id string) error
	// Resume lets it go on. What is not halted, or not there, needs nothing.
	Resume(ctx context.Context, id string) error
}

// The optional verbs below serve people and tests; the supervisor lives without.

// Execer runs a command inside a running instance.
type Execer interface {
	Exec(ctx context.Context, id string, args []string, stdin io.Reader, stdout, stderr io.Writer) (edge.Exit, error)
}

// LogReader reads what instances wrote, ended ones until they are removed.
type LogReader interface {
	// LogTail returns the last lines an instance wrote.
	LogTail(ctx context.Context, id string, lines int) (io.ReadCloser, error)
}

// ImageStore holds images on the node.
type ImageStore interface {
	// Import reads an OCI or docker archive (tar, also gzip or zstd compressed)
	// and returns the images it held for this platform.
	Import(ctx context.Context, archive io.Reader) ([]edge.Image, error)
	Images(ctx context.Context) ([]edge.Image, error)
}

// ImageKeeper gets images from where they come from, and lets go of them.
type ImageKeeper interface {
	// Pull fetches the image that ref names by its digest from its registry, unless the
	// node has it: then the registry is not asked. fetched is how many bytes came.
	// told hears how many of how many bytes there are, one call at a time.
	//
	// What has come is kept for a day when the way to the registry fails, so that the
	// next Pull goes on from there.
	Pull(ctx context.Context, ref string, told func(done, total int64)) (image edge.Image, fetched int64, err error)
	// RemoveImages takes the images with these digests from the store, under whatever
	// names they are there, with all that nothing else needs, and tells how many bytes
	// that freed. Digests that are not there are passed over.
	RemoveImages(ctx context.Context, digests []string) (freed int64, err error)
}

// DaemonWatcher reports the daemon's comings and goings and what ends in it.
type DaemonWatcher interface {
	// Watch calls changed with the daemon's report each time the connection to it
	// comes or goes, until ctx ends.
	Watch(ctx context.Context, changed func(edge.DaemonReport)) error
}

// EventSource tells what happens to instances while it happens.
type EventSource interface {
	// Events calls emit for each event, one at a time and in their order, until ctx
	// ends, which is no error. An instance's life is told as started, exited,
	// removed; one that was started badly may be told of in part.
	//
	// The first event is a gap, once the daemon answers: from then on everything is
	// told. Another follows each time the daemon was away, or emit was too slow for
	// what happened. Events never waits for emit to hear of what comes next, and
	// returns only when emit has.
	Events(ctx context.Context, emit func(edge.InstanceEvent)) error
}
