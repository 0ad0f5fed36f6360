package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
)

// The questions an instance is asked, as policies and Compose files name them.
const (
	askStartup   = "startup"
	askReadiness = "readiness"
	askLiveness  = "liveness"
)

// verdict is what the answers to a question come to.
type verdict uint8

const (
	undecided verdict = iota // never good yet, and not failed for good
	passing
	failing
)

// tally counts the answers to one question.
type tally struct {
	probe     edge.Probe
	verdict   verdict
	good, bad int           // in a row
	spent     time.Duration // since the first one was asked
}

// count takes an answer that came so long after the one before, and tells whether the
// verdict has changed by it. Until the first good one failures are counted in time, a
// period each: then the question comes more often.
func (t *tally) count(ok bool, since time.Duration) (changed bool) {
	before := t.verdict
	t.spent += since
	if ok {
		t.good, t.bad = t.good+1, 0
		if t.good >= t.probe.Good() {
			t.verdict = passing
		}
		return t.verdict != before
	}
	t.good, t.bad = 0, t.bad+1
	over := t.bad >= t.probe.Bad()
	if t.verdict == undecided {
		over = t.spent >= time.Duration(t.probe.Bad()-1)*t.probe.Every()
	}
	if over {
		t.verdict = failing
	}
	return t.verdict != before
}

// firstPause is the least between two questions to a starting instance. A command in it
// costs some tens of milliseconds of CPU, a request well under one.
func firstPause(p edge.Probe) time.Duration {
	if len(p.Exec) > 0 {
		return 200 * time.Millisecond
	}
	return 10 * time.Millisecond
}

// next is the pause before the next question: a period, or until the first good answer
// an eighth of the time it has taken so far.
func (t *tally) next() time.Duration {
	every := t.probe.Every()
	if t.verdict != undecided {
		return every
	}
	return min(every, max(t.spent/8, firstPause(t.probe)))
}

// question asks one thing of one instance, in a goroutine of its own, until ctx ends.
type question struct {
	s     *Supervisor
	inst  edge.Instance
	ep    *endpoint // of a model server
	name  string
	round int // of the instance's questions, which are put anew when they change
	tally tally
	said  string
}

// busyPause is before an instance that is at work, halted or out of reach is asked again.
const busyPause = 250 * time.Millisecond

func (q *question) run(ctx context.Context) {
	if !pause(ctx, q.tally.probe.Delay) {
		return
	}
	last := time.Now()
	for {
		err := q.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := min(busyPause, q.tally.probe.Every())
		if now := time.Now(); !errors.Is(err, errNoAnswer) {
			changed := q.tally.count(err == nil, now.Sub(last))
			last = now
			q.tell(changed, err)
			if q.name == askStartup && q.tally.verdict == passing {
				return
			}
			wait = q.tally.next()
		} else {
			last = now // time in which it could not be asked is not held against it
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// tell posts what has changed, and why it is not good as long as it never was.
func (q *question) tell(changed bool, err error) {
	why := ""
	if err != nil {
		why = fmt.Sprintf("%s probe (%s): %v", q.name, q.tally.probe, err)
	}
	if !changed && (q.tally.verdict != undecided || why == q.said) {
		return
	}
	q.said = why
	id, name, round, verdict := q.inst.ID, q.name, q.round, q.tally.verdict
	q.s.inbox.post(func(l *loop) { l.answered(id, name, round, verdict, why) })
}

// ask puts the question once. What was halted meanwhile has not answered.
func (q *question) ask(ctx context.Context) error {
	halted, times := q.s.halted.seen(q.inst.ID)
	if halted {
		return errNoAnswer
	}
	err := q.put(ctx)
	if now, since := q.s.halted.seen(q.inst.ID); now || since != times {
		return errNoAnswer
	}
	return err
}
