package localapi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// Inference runs tasks.
type Inference interface {
	// Infer blocks until the task has settled. The end of ctx means that its
	// caller gave up.
	Infer(ctx context.Context, t edge.Task) edge.Settlement
	// Cancel gives a task up; false when there is none of that id.
	Cancel(id string) bool
	// Explain answers as Infer would decide now, without submitting: nil, or a
	// *edge.Refusal.
	Explain(t edge.Task) error
}

// Models knows what the node can be asked.
type Models interface {
	// Model tells what a model says of itself, whether an instance of it can take
	// a task now, and whether any workload serves it at all. The metadata has no
	// name while no instance has told it yet.
	Model(name string) (meta oip.ModelMetadata, ready, known bool)
	Models() []string
}

// Node is the agent as a whole.
type Node interface {
	Reports
	Control
}

// Reports are the node's views of itself.
type Reports interface {
	Status() edge.Status
	Vitals() edge.Vitals
	Tasks() []edge.TaskView
	Workloads() []edge.WorkloadView
}

// Control changes what the node does.
type Control interface {
	// Restart restarts the instances of a workload, or one instance.
	Restart(ctx context.Context, target string) error
	// Drain lets no new task in and returns when those inside have settled.
	Drain(ctx context.Context) error
	Undrain()
}

// Policies is what governs the node.
type Policies interface {
	Policy() (edge.PolicyView, error)
	// ApplyPolicy takes a signed policy or root document. nil means that it is kept
	// and in force; with an error, also when ctx ends, everything is as it was.
	ApplyPolicy(ctx context.Context, envelope []byte) (edge.PolicyReport, error)
}

// Metrics shows the node's figures to Prometheus.
type Metrics interface{ Handler() http.Handler }

// Events is the node's journal.
type Events interface {
	// Since lists the kept events with a higher sequence number, oldest first.
	Since(seq uint64) []edge.Event
	// Wait blocks until there is an event with a higher sequence number.
	Wait(ctx context.Context, seq uint64) error
}

// Live is what changes by the second. It is asked by one goroutine, only while somebody
// reads a live stream.
type Live interface {
	// Samples lists the kept samples after the first so many, oldest first, and how
	// many there have been.
	Samples(after uint64) (samples []edge.Sample, taken uint64)
	// LiveTasks are the tasks now, and those that have ended since the mark; nothing
	// when the new mark is the old one. The zero mark is before everything.
	LiveTasks(since TaskMark) (tasks edge.LiveTasks, now TaskMark)
}

// TaskMark is up to where somebody has been told of tasks.
type TaskMark struct {
	Changes uint64 // of what runs and waits
	Ended   uint64 // tasks
}

// Images is the node's image store.
type Images interface {
	Import(ctx context.Context, archive io.Reader) ([]edge.Image, error)
	Images(ctx context.Context) ([]edge.Image, error)
	// Pull gets an image from its registry, unless the node has it: then fetched is 0.
	Pull(ctx context.Context, ref string, told func(done, total int64)) (image edge.Image, fetched int64, err error)
	// Prune removes the images that nothing on the node needs.
	Prune(ctx context.Context) (Pruned, error)
}

// Volumes are the folders that apps keep.
type Volumes interface {
	Volumes(ctx context.Context) ([]edge.VolumeView, error)
	// RemoveVolume deletes a volume that nothing uses, or is to use.
	RemoveVolume(ctx context.Context, app, name string) error
}

// Logs opens the last lines of an instance's or workload's output. The reader
// ends with ctx.
type Logs interface {
	Logs(ctx context.Context, target string, lines int, follow bool) (io.ReadCloser, error)
}

// Options are what a Server is built from. A listener whose address is empty is
// not opened; at least one must be.
type Options struct {
	Socket string // path of the unix socket
	Group  int    // whose members may use it beside root; 0: the agent's own
	Listen string // host:port on a loopback address; port 0 picks one

	NodeName string
	Version  string

	MaxBody     int64         // bytes of one inference request; 16 MiB by default
	MaxInFlight int64         // bytes of all inference requests held at once; 64 MiB by default
	MaxConns    int           // connections of one listener; 1,024 by default, more wait to be accepted
	BodyTimeout time.Duration // how long a body may take to arrive; 10 s by default

	// DefaultDeadline is the deadline of a task that names none; 0 means none.
	// By default it is the class's own.
	DefaultDeadline func(edge.Class) time.Duration
	Log             *slog.Logger
	// Asked is told what somebody has the node do, before it is done, and who has; nil
	// tells nobody.
	Asked func(what, who string)

	Inference Inference
	Models    Models
	Node      Node
	Metrics   Metrics
	Events    Events
	Images    Images
	Volumes   Volumes
	Logs      Logs
	Policies  Policies
	Updates   Updates
	Live      Live
	Page      http.Handler // of GET / and below /page/; nil: there is none
}

// Defaults of Options. The first two let four of the largest requests be held at
// once on a node with a quarter of a gigabyte. A connection with a request inside
// was measured at 26 KiB, so that a full listener stays under an eighth of the
// same node, and a thousand clients need not wait for each other.
const (
	defaultMaxBody     = 16 << 20
	defaultMaxInFlight = 64 << 20
	defaultMaxConns    = 1024
	defaultBodyTimeout = 10 * time.Second
)

func (o *Options) fill() {
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = max(defaultMaxInFlight, o.MaxBody)
	}
	if o.MaxConns == 0 {
		o.MaxConns = defaultMaxConns
	}
	if o.BodyTimeout == 0 {
		o.BodyTimeout = defaultBodyTimeout
	}
	if o.DefaultDeadline == nil {
		o.DefaultDeadline = edge.Class.DefaultDeadline
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

func (o *Options) check() error {
	switch {
	case o.Socket == "" && o.Listen == "":
		return fmt.Errorf("local API has neither a socket nor an address to listen on: %w", edge.ErrInvalid)
	case o.MaxBody < 0 || o.MaxConns < 0 || o.BodyTimeout < 0:
		return fmt.Errorf("limits of the local API must not be negative: %w", edge.ErrInvalid)
	case o.MaxInFlight < o.MaxBody:
		return fmt.Errorf("bytes in flight (%d) must have room for the largest body (%d): %w", o.MaxInFlight, o.MaxBody, edge.ErrInvalid)
	case o.Inference == nil || o.Models == nil || o.Node == nil || o.Events == nil || o.Images == nil || o.Volumes == nil || o.Logs == nil || o.Policies == nil || o.Live == nil:
		return fmt.Errorf("local API lacks one of the interfaces it serves: %w", edge.ErrInvalid)
	}
	if len(o.Socket) > maxSocketPath {
		return fmt.Errorf("socket path %q is longer than %d bytes: %w", o.Socket, maxSocketPath, edge.ErrInvalid)
	}
	if o.Listen != "" {
		return checkLoopback(o.Listen)
	}
	return nil
}
