package runtime

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"

	"holdfast/edge"
)

// Options are what a supervisor is made from. Only Driver is required.
type Options struct {
	Driver Driver
	Log    *slog.Logger // nil: nothing is logged

	// Event is told what happened; the receiver fills Seq and At.
	Event func(edge.Event)
	// Warn raises a lasting condition, or changes its detail; Clear ends it.
	Warn  func(edge.Warning)
	Clear func(code, subject string)
	// Pools is told whenever what may be counted with has changed.
	Pools func([]edge.Pool)

	// Versions is what Keep was told last, of an earlier run, by workload.
	Versions map[string]edge.Versions
	// Keep is told what to keep of versions, when that has changed. The receiver must not
	// change it.
	Keep func(map[string]edge.Versions)
	// Guarded tells whether somebody else takes back what the workload is to be now, should
	// it fail.
	Guarded func(workload string) bool
	// Permit tells whether a version may run that is to run again.
	Permit func(edge.Workload) error

	// Dial reaches an instance's socket; nil dials it as a unix socket and
	// refuses symbolic links, which a container could point anywhere.
	Dial func(ctx context.Context, socket string) (net.Conn, error)
	// DialPort reaches a port of an instance's own loopback; nil enters its network,
	// which needs the privileges of root.
	DialPort func(ctx context.Context, inst edge.Instance, port int) (net.Conn, error)
	// Jitter draws from [0, 1); nil draws at random.
	Jitter func() float64
}

func (o Options) withDefaults() (Options, error) {
	if o.Driver == nil {
		return o, errors.New("cannot make supervisor: no driver given")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Event == nil {
		o.Event = func(edge.Event) {}
	}
	if o.Warn == nil {
		o.Warn = func(edge.Warning) {}
	}
	if o.Clear == nil {
		o.Clear = func(string, string) {}
	}
	if o.Pools == nil {
		o.Pools = func([]edge.Pool) {}
	}
	if o.Keep == nil {
		o.Keep = func(map[string]edge.Versions) {}
	}
	if o.Guarded == nil {
		o.Guarded = func(string) bool { return false }
	}
	if o.Permit == nil {
		o.Permit = func(edge.Workload) error { return nil }
	}
	if o.Dial == nil {
		o.Dial = dialSocket
	}
	if o.DialPort == nil {
		o.DialPort = dialPort
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	return o, nil
}
