package release

import (
	"context"
	"fmt"
	"io"
	"time"

	"holdfast/edge"
)

const (
	// silentFor is for how long a source may send nothing.
	silentFor = 30 * time.Second
	// pieceWithin is for how long a source may take over a piece, or a document: 1.7 KiB a
	// second, which the slowest of modems does.
	pieceWithin = 10 * time.Minute
)

// watch ends a source that falls silent or does not get on.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	silent *time.Timer
	slow   *time.Timer
}

func watched(ctx context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{ctx: ctx, cancel: cancel}
	give := func(format string, args ...any) func() {
		return func() { cancel(fmt.Errorf(format+": %w", append(args, edge.ErrUnavailable)...)) }
	}
	w.silent = time.AfterFunc(silentFor, give("sends nothing for %v", silentFor))
	w.slow = time.AfterFunc(pieceWithin, give("does not send a piece within %v", pieceWithin))
	return ctx, w
}

// end lets go of everything.
func (w *watch) end() {
	w.silent.Stop()
	w.slow.Stop()
	w.cancel(nil)
}

// piece gives the source time for another one.
func (w *watch) piece() { w.slow.Reset(pieceWithin) }

// heard gives the source time to send on. It is also told of pauses of our own making.
func (w *watch) heard() { w.silent.Reset(silentFor) }

// blame says why a source was given up, where that is what the error comes from.
func (w *watch) blame(err error) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return err
}

// watchedReader has the watch hear of every byte.
type watchedReader struct {
	io.Reader
	watch *watch
}

func (r watchedReader) Read(into []byte) (int, error) {
	n, err := r.Reader.Read(into)
	if n > 0 {
		r.watch.heard()
	}
	return n, err
}
