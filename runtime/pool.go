package runtime

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// endpoint is one instance of a model server as Execute sees it: the lanes to it
// and what became of them.
type endpoint struct {
	id      string
	timeout time.Duration
	lanes   []*lane
	pool    *pool
	scale   scale

	// guarded by pool.mu
	metas   map[string]oip.ModelMetadata // written by the loop only, which may read it without the lock
	idle    []*lane
	busy    int
	joined  bool
	fails   int           // failures in a row
	lastOK  time.Time     // of the latest good answer
	drained chan struct{} // not nil while somebody waits for busy to become 0
	run     *run          // of the task it works on, if it works on one at a time
	fixed   bool          // its workload does not let it be halted
	ending  bool          // it is being stopped, and not to be halted any more
	proving bool          // it is a canary: it gets its share of the tasks, and no more
	fresh   bool          // its version is on trial, and what it fails another may answer
	proofs  int           // good answers
	proved  func()        // of a fresh one: it has given a few

	poke chan struct{} // capacity 1: a hint to probe now is never needed twice

	ended chan struct{} // closed once the instance is known to have ended
	how   string        // how it ended; written before ended is closed
}

func newEndpoint(inst edge.Instance, serve *edge.Serve, p *pool, dial func(context.Context, string) (net.Conn, error)) *endpoint {
	ep := &endpoint{
		id: inst.ID, pool: p, timeout: requestTimeout(serve),
		poke: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	for range concurrency(serve) {
		ep.lanes = append(ep.lanes, &lane{socket: inst.Socket, dial: dial})
	}
	ep.idle = append(ep.idle, ep.lanes...)
	ep.fixed = serve.Fixed
	ep.scale.now = unweighed
	return ep
}

// abort ends every request in flight; how says why.
func (ep *endpoint) abort(how string) {
	ep.how = how
	close(ep.ended)
	for _, l := range ep.lanes {
		l.abort()
	}
}

// nudge makes the endpoint's prober look at once.
func (ep *endpoint) nudge() {
	select {
	case ep.poke <- struct{}{}:
	default:
	}
}

// pool is the ready instances of one workload.
type pool struct {
	name string

	mu      sync.Mutex // guards members and the marked fields of their endpoints
	members []*endpoint
	share   int  // of the tasks, in percent, for what is proving
	credit  int  // percent of a task that are due to it
	other   bool // the next task is for what is fresh and has shown nothing yet
	gauge   *gauge
	waiting int
	changed chan struct{} // closed and replaced when a waiter may be served
}

func newPool(name string) *pool {
	return &pool{name: name, changed: make(chan struct{})}
}

// join lets the endpoint take tasks for the models it has described.
func (p *pool) join(ep *endpoint, metas map[string]oip.ModelMetadata) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ep.metas = metas
	if ep.joined {
		return
	}
	ep.joined = true
	ep.fails = 0
	p.members = append(p.members, ep)
	p.wakeLocked()
}

// withdraw takes the endpoint out; tasks in flight go on. The channel closes when
// the last of them has ended.
func (p *pool) withdraw(ep *endpoint) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ep.joined {
		ep.joined = false
		for i, member := range p.members {
			if member == ep {
				p.members = append(p.members[:i:i], p.members[i+1:]...)
			}
		}
		p.wakeLocked() // waiters must not wait for what is gone
	}
	if ep.busy == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if ep.drained == nil {
		ep.drained = make(chan struct{})
	}
	return ep.drained
}

// acquire takes a lane to a ready instance that answers the model, the one with
// the fewest tasks in flight, and among equals the same again: its caches are warm. While all are busy it waits for ctx; while none is
// ready it does not. A task that is spared is not for what is proving, unless nothing else is there.
func (p *pool) acquire(ctx context.Context, model string, spared bool) (*endpoint, *lane, error) {
	for {
		p.mu.Lock()
		ep, ready := p.pickLocked(model, spared)
		if ep != nil {
			l := ep.takeLocked()
			p.mu.Unlock()
			return ep, l, nil
		}
		if !ready {
			p.mu.Unlock()
			return nil, nil, fmt.Errorf("no instance of %q is ready: %w", p.name, edge.ErrUnavailable)
		}
		p.waiting++
		changed := p.changed
		p.mu.Unlock()

		select {
		case <-changed:
		case <-ctx.Done():
		}
		p.mu.Lock()
		p.waiting--
		p.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return nil, nil, gaveUp(err)
		}
	}
}

// pickLocked finds the least busy endpoint with a free lane; ready tells whether
// any serves the model at all.
func (p *pool) pickLocked(model string, spared bool) (best *endpoint, ready bool) {
	var proving, fresh, unproved *endpoint
	tried := false // something serves the model that need not be proved
	for _, ep := range p.members {
		if _, serves := ep.metas[model]; !serves {
			continue
		}
		ready = true
		switch {
		case ep.proving:
			proving = ep
		case spared && ep.fresh:
			if len(ep.idle) > 0 {
				fresh = ep
			}
		case len(ep.idle) > 0 && (best == nil || ep.busy < best.busy):
			best, tried = ep, true
		default:
			tried = true
		}
		if ep.fresh && !ep.proving && ep.proofs < settledTasks && len(ep.idle) > 0 {
			unproved = ep
		}
	}
	switch {
	case unproved != nil && !spared && p.otherLocked():
		return unproved, true // or with few tasks it would never show what it is worth
	case !tried && fresh != nil:
		return fresh, true
	case proving == nil:
	case !tried && len(proving.idle) > 0, best != nil && !spared && p.dueLocked(len(proving.idle) > 0):
		return proving, true
	}
	return best, ready
}

// meta is what the instance says of a model.
func (ep *endpoint) meta(model string) oip.ModelMetadata {
	ep.pool.mu.Lock()
	defer ep.pool.mu.Unlock()
	return ep.metas[model]
}

func (ep *endpoint) takeLocked() *lane {
	last := len(ep.idle) - 1
	l := ep.idle[last] // the last used: its connection is the warmest
	ep.idle = ep.idle[:last]
	ep.busy++
	return l
}

// tryLane takes a lane for a probe unless a task has one or had one since
// quietSince: a working server is not asked whether it works.
func (p *pool) tryLane(ep *endpoint, quietSince time.Time) *lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ep.busy > 0 || ep.lastOK.After(quietSince) {
		return nil
	}
	return ep.takeLocked()
}

// release gives the lane back and counts the outcome; it returns the failures in
// a row.
func (p *pool) release(ep *endpoint, l *lane, outcome outcome) int {
	now := time.Time{}
	if outcome == outcomeGood {
		now = time.Now()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch outcome {
	case outcomeGood:
		ep.fails = 0
		ep.lastOK = now
		if ep.proofs++; ep.proofs == settledTasks && ep.proved != nil {
			ep.proved()
		}
	case outcomeBad:
		ep.fails++
	}
	ep.busy--
	ep.idle = append(ep.idle, l)
	if ep.busy == 0 && ep.drained != nil {
		close(ep.drained)
		ep.drained = nil
	}
	if p.waiting > 0 {
		p.wakeLocked()
	}
	return ep.fails
}

func (p *pool) wakeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// outcome is what a request says about its instance.
type outcome uint8

const (
	outcomeNone outcome = iota // nothing, for example a probe
	outcomeGood
	outcomeBad
)
