package runtime

import "slices"

// dueLocked counts a task, and tells whether what is proving is to get it. Of what it could
// not take for being busy it gets one more task later: a slow one is not to be flooded.
func (p *pool) dueLocked(idle bool) bool {
	const whole = 100
	p.credit = min(p.credit+p.share, 2*whole)
	if p.credit < whole || !idle {
		return false
	}
	p.credit -= whole
	return true
}

// otherLocked is true for every other task.
func (p *pool) otherLocked() bool {
	p.other = !p.other
	return p.other
}

// tryOut has what is proving get a share of the tasks from now on, and has both sides
// counted; 0 ends that.
func (p *pool) tryOut(share int, g *gauge) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.share == 0 {
		p.credit = 0
	}
	p.share, p.gauge = share, g
}

// probation says whether the endpoint is proving.
func (p *pool) probation(ep *endpoint, on bool) {
	if ep == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ep.proving = on
}

// standing tells whether the endpoint is proving or fresh, and what counts its tasks; nil:
// nothing does.
func (p *pool) standing(ep *endpoint) (proving, fresh bool, g *gauge) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ep.proving, ep.fresh, p.gauge
}

// elder tells whether something serves the model whose version is not on trial.
func (p *pool) elder(model string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.members, func(ep *endpoint) bool {
		_, serves := ep.metas[model]
		return serves && !ep.proving && !ep.fresh
	})
}

// freshen says of an endpoint whether its version is on trial; proved is told of its first
// good answers.
func (p *pool) freshen(ep *endpoint, fresh bool, proved func()) {
	if ep == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ep.fresh, ep.proved = fresh, proved
}

// answered is how many good answers the endpoint has given.
func (p *pool) answered(ep *endpoint) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ep.proofs
}
