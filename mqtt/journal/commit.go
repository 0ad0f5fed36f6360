package journal

import (
	"context"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
)

// change is what somebody wants to commit. It changes a draft, or leaves it as it was
// and says why.
type change struct {
	do   func(*draft) error
	err  error
	done chan struct{}
}

// commit brings a change to the file, with all others that wait: whoever has the turn
// commits for everybody. A change that has begun is waited for even when the caller
// gives up, because nobody can say what the file has until then.
func (j *Journal) commit(ctx context.Context, do func(*draft) error) error {
	c := &change{do: do, done: make(chan struct{})}
	j.mu.Lock()
	if j.closed || !j.opened {
		j.mu.Unlock()
		return fmt.Errorf("the journal is not open: %w", edge.ErrUnavailable)
	}
	j.queue = append(j.queue, c)
	j.mu.Unlock()
	select {
	case j.turn <- struct{}{}:
		j.flush(context.WithoutCancel(ctx))
		j.release()
	case <-c.done:
	case <-ctx.Done():
		if j.withdraw(c) {
			return ctx.Err()
		}
	}
	<-c.done
	return c.err
}

// draft gives a copy of the state to change.
func (j *Journal) draft() *draft {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.draft(j.acked)
}

// withdraw takes back a change that nobody has begun.
func (j *Journal) withdraw(c *change) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, waiting := range j.queue {
		if waiting == c {
			j.queue = append(j.queue[:i:i], j.queue[i+1:]...)
			return true
		}
	}
	return false
}

// flush makes all changes that wait, in one commit.
func (j *Journal) flush(ctx context.Context) {
	j.mu.Lock()
	queue, closed := j.queue, j.closed
	j.queue = nil
	j.mu.Unlock()
	if len(queue) == 0 {
		return
	}
	defer func() {
		for _, c := range queue {
			close(c.done)
		}
	}()
	if closed {
		fail(queue, fmt.Errorf("the journal is closed: %w", edge.ErrUnavailable))
		return
	}
	if err := j.mend(ctx); err != nil {
		j.refuse(queue, err)
		return
	}
	d := j.draft()
	for _, c := range queue {
		c.err = c.do(d)
	}
	if !d.changed {
		return
	}
	found, err := j.store(ctx, d)
	if err != nil {
		j.failed(found, err)
		fail(queue, j.unavailable(err))
		return
	}
	j.worked(found)
	j.publish(d)
}

// fail gives an error to whoever had none.
func fail(queue []*change, err error) {
	for _, c := range queue {
		if c.err == nil {
			c.err = err
		}
	}
}

// refuse lets through what changes nothing, as far as anything is known.
func (j *Journal) refuse(queue []*change, why error) {
	if !j.loaded {
		fail(queue, why)
		return
	}
	for _, c := range queue {
		d := j.draft()
		if c.err = c.do(d); c.err == nil && d.changed {
			c.err = why
		}
	}
}

// mend opens a file that failed, when it is time to.
func (j *Journal) mend(ctx context.Context) error {
	j.mu.Lock()
	kept, at, why := j.kept, j.retry.at, j.retry.why
	j.mu.Unlock()
	switch {
	case kept:
		return nil
	case time.Now().Before(at):
		return j.unavailable(why)
	case !j.loaded:
		if err := j.load(ctx); err != nil {
			j.failed(boltfile.Found{Rung: boltfile.Failed}, err)
		}
	default:
		j.write(ctx, j.draft())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.kept {
		return j.unavailable(j.retry.why)
	}
	return nil
}

func (j *Journal) unavailable(why error) error {
	return edge.WithHint(fmt.Errorf("nothing can be kept in %q: %w: %w", j.options.Path, edge.ErrUnavailable, why),
		"look at the disk, or free some space on it")
}

// publish shows a state to readers.
func (j *Journal) publish(d *draft) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.state
	j.state = &d.state
	if before.epoch != d.epoch {
		j.acked = 0
	}
	j.counts.Appended += d.added
	j.counts.LostFull += d.lost
	if d.stream.Dropped > 0 {
		j.warnLocked(warnFull, fmt.Sprintf("%d entries went before the fleet had them", d.stream.Dropped), "connect the node to its fleet")
	}
	if j.changed != nil && d.stream.Next != before.stream.Next {
		close(j.changed)
		j.changed = nil
	}
}

// retry says when a file that failed is tried again.
type retry struct {
	at   time.Time
	last time.Duration
	why  error
}

// failed takes note that nothing can be kept for now.
func (j *Journal) failed(found boltfile.Found, why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept = false
	j.retry.last = min(max(retryBase, 2*j.retry.last), retryMost)
	j.retry.at, j.retry.why = time.Now().Add(j.retry.last), why
	code, remedy := warnFailed, "look at the disk, or free some space on it"
	switch found.Rung {
	case boltfile.Newer:
		code, remedy = warnNewer, "start the newer version again, or move the database away"
	case boltfile.ReadOnly:
		code, remedy = warnReadOnly, "make the disk writable"
	}
	for _, other := range [...]string{warnFailed, warnNewer, warnReadOnly} {
		if other != code {
			j.settledLocked(other)
		}
	}
	j.warnLocked(code, fmt.Sprintf("commands that must be remembered are refused: %v", why), remedy)
	j.nudge()
}

// worked takes note that the file has what it should.
func (j *Journal) worked(found boltfile.Found) {
	j.report(found)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept, j.retry = true, retry{}
	j.counts.FlashSyncs++
	for _, code := range [...]string{warnFailed, warnNewer, warnReadOnly} {
		j.settledLocked(code)
	}
}

func (j *Journal) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}
