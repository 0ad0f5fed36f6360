package agent

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/otlp"
)

// buildTraces makes who tells a collector of traces, if there is one.
func (a *Agent) buildTraces(c config.Config) {
	if c.Trace.OTLP == "" {
		return
	}
	a.traces = otlp.New(otlp.Options{
		URL: c.Trace.OTLP, Node: c.Node.Name, Version: a.options.Version, Warn: a.warnings.Raise, Clear: a.warnings.Clear,
	})
}

func (a *Agent) runTraces(ctx context.Context) error {
	if a.traces == nil {
		<-ctx.Done()
		return nil
	}
	return a.traces.Run(ctx)
}

func (n node) traceReport() *edge.TraceReport {
	if n.traces == nil {
		return nil
	}
	r := n.traces.Report()
	return &r
}

// begun gives a task its place in a trace: a piece of work of its own below its caller's or,
// where it came without, in a trace that is begun here, of which a share is sampled. The
// numbers need to differ, and nobody gains by guessing one: math/rand's generator, which the
// machine seeds, takes some nanoseconds and no lock.
func begun(t edge.Trace, share float64) edge.Trace {
	if t.ID.IsZero() {
		binary.NativeEndian.PutUint64(t.ID[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(t.ID[8:], rand.Uint64()|1) // never none
	}
	if !t.Decided && share > 0 {
		t.Sampled = rand.Float64() < share
	}
	t.Span = newSpan()
	return t
}

// newSpan names a piece of work.
func newSpan() (id edge.SpanID) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}
