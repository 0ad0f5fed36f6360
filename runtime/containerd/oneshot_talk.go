package containerd

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"

	"holdfast/runtime/oneshot"
)

const (
	// complaintBytes is how much of a program's last words is kept.
	complaintBytes = 4 << 10
	// drainWithin bounds waiting for what a dead program wrote last, which is on its way
	// through the shim.
	drainWithin = 2 * time.Second
)

// talk is what goes on between the agent and a program that runs.
type talk struct {
	pipes  *pipes
	ended  sync.WaitGroup
	output bytes.Buffer
	excess bool
	last   lastWords
}

// talk begins to feed the program and to listen to it. What it says is of no interest where
// its output is a file. enough is called when it has written more than it may.
func (p *pipes) talk(order oneshot.Order, deaf bool, enough func()) *talk {
	t := &talk{pipes: p}
	t.ended.Go(func() {
		_, _ = p.input.Write(order.Input) // a program need not read what it is given
		_ = p.input.Close()
	})
	t.ended.Go(func() {
		if deaf {
			_, _ = io.Copy(io.Discard, p.output)
			return
		}
		n, _ := io.Copy(&t.output, io.LimitReader(p.output, order.Most+1))
		if t.excess = n > order.Most; t.excess {
			enough()
			_, _ = io.Copy(io.Discard, p.output)
		}
	})
	t.ended.Go(func() { _, _ = io.Copy(&t.last, p.errors) })
	return t
}

// end returns what the dead program has said.
func (t *talk) end() oneshot.Result {
	_ = t.pipes.input.Close() // nobody reads any more
	by := time.Now().Add(drainWithin)
	_ = t.pipes.output.SetReadDeadline(by)
	_ = t.pipes.errors.SetReadDeadline(by)
	t.ended.Wait()
	return oneshot.Result{Output: t.output.Bytes(), Excess: t.excess, Complaint: t.last.String()}
}

// lastWords keeps the end of what is written to it.
type lastWords struct{ kept []byte }

func (l *lastWords) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p[max(0, len(p)-complaintBytes):]...)
	l.kept = l.kept[max(0, len(l.kept)-complaintBytes):]
	return len(p), nil
}

func (l *lastWords) String() string {
	return strings.TrimSpace(strings.ToValidUTF8(string(l.kept), "�"))
}
