package runtime

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

// standing tells whether the endpoint is proving, and what counts its tasks; nil: nothing does.
func (p *pool) standing(ep *endpoint) (proving bool, g *gauge) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ep.proving, p.gauge
}
