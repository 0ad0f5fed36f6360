package runtime

import (
	"context"
	"errors"
	"time"

	"holdfast/edge"
)

// listWithin bounds one listing; a daemon that takes longer is as good as away.
const listWithin = 30 * time.Second

// daemon is how the loop stands with the driver's daemon: whether it is there, and
// the listing that compares what it runs with what the loop believes.
type daemon struct {
	away    bool
	back    time.Time // it answered again, or for the first time
	listing bool
	again   bool                // list once more as soon as this one is done
	touched map[string]struct{} // instances that changed while it ran: it may be older than they
	tries   int
	next    time.Time // of a listing that failed; zero: none is due
}

// up tells whether starting anything makes sense.
func (d *daemon) up() bool { return !d.away }

// touch notes that an instance came or went.
func (d *daemon) touch(id string) {
	if d.listing {
		d.touched[id] = struct{}{}
	}
}

// daemonChanged follows the driver's report.
func (l *loop) daemonChanged(connected bool) {
	if !connected {
		l.daemonLost()
		return
	}
	l.daemonBack()
	l.list()
}

// daemonBack notes that it answers.
func (l *loop) daemonBack() {
	if l.daemon.away || l.daemon.back.IsZero() {
		l.daemon.back = l.now
	}
	l.daemon.away, l.daemon.tries = false, 0
}

// daemonLost stops all starting until a listing succeeds, which is tried again
// even if nobody tells that the daemon is back.
func (l *loop) daemonLost() {
	l.daemon.away = true
	if l.daemon.next.IsZero() && !l.daemon.listing {
		l.listLater()
	}
}

func (l *loop) listLater() {
	l.daemon.next = l.now.Add(retryPause(l.daemon.tries, l.s.opts.Jitter()))
	l.daemon.tries++
}

func (l *loop) relistIfDue() {
	if next := l.daemon.next; !next.IsZero() && !l.now.Before(next) {
		l.list()
	}
	l.at(l.daemon.next)
}

// list asks the driver for everything it holds.
func (l *loop) list() {
	l.daemon.next = time.Time{}
	if l.daemon.listing {
		l.daemon.again = true
		return
	}
	l.daemon.listing, l.daemon.touched = true, make(map[string]struct{})
	l.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, listWithin)
		defer cancel()
		found, err := l.s.opts.Driver.Instances(ctx)
		l.post(func(l *loop) { l.listReturned(found, err) })
	})
}

func (l *loop) listReturned(found []edge.Instance, err error) {
	d := &l.daemon
	d.listing = false
	switch {
	case err != nil:
		if d.tries == 0 && !errors.Is(err, edge.ErrUnavailable) {
			l.s.opts.Log.Warn("cannot list instances", "error", err)
		}
		d.away = true
		l.listLater()
	default:
		l.daemonBack()
		l.listed = true
		l.merge(found)
	}
	if d.again {
		d.again = false
		l.list()
	}
}

// merge compares a listing with what the loop believes. Whatever changed while
// the listing was made is left to its own message.
func (l *loop) merge(found []edge.Instance) {
	seen := make(map[string]struct{}, len(found))
	for _, f := range found {
		seen[f.ID] = struct{}{}
		f.Exit = seenEnd(f.Exit)
		if _, touched := l.daemon.touched[f.ID]; touched {
			continue
		}
		switch inst := l.instances[f.ID]; {
		case inst == nil:
			l.found(f)
		case !f.Running:
			l.exited(f.ID, f.Exit) // also what died while nobody could see it
		}
	}
	for id := range l.instances {
		_, there := seen[id]
		_, touched := l.daemon.touched[id]
		if !there && !touched {
			l.exited(id, nil)
		}
	}
}

// found takes in an instance of an earlier agent.
func (l *loop) found(f edge.Instance) {
	w := l.workload(f.Workload)
	inst := &instance{Instance: f, phase: phaseUnknown, since: l.now, detail: "not yet known whether it is wanted"}
	l.instances[f.ID] = inst
	if !f.Running {
		inst.phase = phaseRemoving
		w.dead = append(w.dead, inst)
		return
	}
	w.extras = append(w.extras, inst)
	l.watch(inst)
}
