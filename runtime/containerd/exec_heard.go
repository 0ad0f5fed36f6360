package containerd

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
)

// silence is how long nothing may come of a command that has ended before it is given up to
// hear its output to the end: what it has left running may hold that open. A shim, which
// copies it, waits as long.
const silence = 2 * time.Second

// hearing is what of a command's output has been passed on to its caller. To remove a command
// cuts off what has not.
type hearing struct{ begun, passed atomic.Uint64 }

// by has the hearing count what a writer is given.
func (h *hearing) by(to io.Writer) io.Writer { return &listener{h, to} }

// out returns when all has been passed on, or the caller has left.
func (h *hearing) out(ctx context.Context, streams cio.IO) {
	ended := make(chan struct{})
	go func() { // until the streams are cancelled, at the latest
		defer close(ended)
		streams.Wait()
	}()
	ticker := time.NewTicker(silence)
	defer ticker.Stop()
	for before := h.begun.Load(); ; {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := h.begun.Load()
		if now == before && h.passed.Load() == now {
			return
		}
		before = now
	}
}

// listener counts what it passes on.
type listener struct {
	heard *hearing
	to    io.Writer
}

func (l *listener) Write(p []byte) (int, error) {
	l.heard.begun.Add(1)
	defer l.heard.passed.Add(1)
	return l.to.Write(p)
}
