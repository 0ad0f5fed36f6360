package runtime

import (
	"context"
	"slices"
)

// Offerer answers for instances at ports of the node, which is optional: without it ports
// lead to whoever runs.
type Offerer interface {
	// Offer says which of the instances with ports are ready: only they get new
	// connections, unless none of them takes one. It returns when that is so.
	Offer(ctx context.Context, ready []string)
}

// publishOffer tells who is ready of those with ports, when that has changed. One list is
// told at a time; what changes meanwhile follows it.
func (l *loop) publishOffer() {
	offerer, can := l.s.opts.Driver.(Offerer)
	if !can || l.offering {
		return
	}
	var ready []string
	for id, inst := range l.instances {
		if len(inst.Ports) > 0 && inst.phase == phaseReady && !inst.retiring {
			ready = append(ready, id)
		}
	}
	slices.Sort(ready)
	if slices.Equal(ready, l.offered) {
		return
	}
	l.offered, l.offering = ready, true
	l.spawn(func(ctx context.Context) {
		offerer.Offer(ctx, ready)
		l.post(func(l *loop) { l.offering = false })
	})
}
