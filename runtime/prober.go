package runtime

import (
	"context"
	"errors"
	"syscall"
	"time"

	"holdfast/edge/oip"
)

// livePeriod is between two looks at a model server that has no tasks. One that
// has tells of itself by answering them.
const livePeriod = 5 * time.Second

// probe keeps an eye on a model server, in a goroutine of its own that ends with
// the instance.
func (l *loop) probe(inst *instance, models []string) {
	ctx, cancel := context.WithCancel(l.ctx)
	unwatch := inst.cancel
	inst.cancel = func() { cancel(); unwatch() }
	p := &prober{s: l.s, ep: inst.ep, models: models}
	l.spawn(func(context.Context) { p.run(ctx) })
}

// prober asks one endpoint for its readiness. It takes a lane as a task does, so
// it never disturbs a working server and needs no connection of its own, which a
// server that serves one connection at a time would leave waiting.
type prober struct {
	s      *Supervisor
	ep     *endpoint
	models []string
	said   string // the last reason told
}

func (p *prober) run(ctx context.Context) {
	for ctx.Err() == nil {
		if !p.untilReady(ctx) {
			return
		}
		p.whileReady(ctx)
	}
}

// untilReady polls until the server is ready, often at first and then less; false
// when ctx ended before.
func (p *prober) untilReady(ctx context.Context) bool {
	began := time.Now()
	for {
		metas, err := p.look()
		if err == nil {
			p.said = ""
			p.tellReady(metas)
			return true
		}
		p.tellUnready(err)
		if !pause(ctx, pollAfter(time.Since(began))) {
			return false
		}
	}
}

// whileReady returns when the server is found not ready, or doubted, or ctx ended.
func (p *prober) whileReady(ctx context.Context) {
	ticker := time.NewTicker(livePeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.ep.poke:
			return
		case <-ticker.C:
		}
		lane := p.ep.pool.tryLane(p.ep, time.Now().Add(-livePeriod))
		if lane == nil {
			continue // it works, or answered just now
		}
		err := checkHealth(lane)
		p.ep.pool.release(p.ep, lane, outcomeNone)
		if err != nil {
			p.tellUnready(err)
			return
		}
	}
}

var errBusy = errors.New("a request is still in flight")

// look asks for everything that readiness means.
func (p *prober) look() (map[string]oip.ModelMetadata, error) {
	lane := p.ep.pool.tryLane(p.ep, time.Now())
	if lane == nil {
		return nil, errBusy
	}
	defer p.ep.pool.release(p.ep, lane, outcomeNone)
	return checkReady(lane, p.models)
}

func (p *prober) tellReady(metas map[string]oip.ModelMetadata) {
	id := p.ep.id
	p.s.inbox.post(func(l *loop) { l.becameReady(id, metas) })
}

// tellUnready tells a reason once; a server that is still starting says the same
// some hundred times.
func (p *prober) tellUnready(err error) {
	id := p.ep.id
	if errors.Is(err, errBusy) { // the reason why it is not ready is another
		p.s.inbox.post(func(l *loop) { l.stillBusy(id) })
		return
	}
	why := whyUnready(err)
	if why == p.said {
		return
	}
	p.said = why
	p.s.inbox.post(func(l *loop) { l.notReady(id, why) })
}

func whyUnready(err error) string {
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return "nothing listens on its socket"
	}
	return err.Error()
}
