package sitelink

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Link is the link to one site's broker.
type Link struct {
	options Options
	prefix  string // of task ids
	serial  atomic.Uint64
	intake  *intake
	replies *replies
	tallies tallies
	pace    pace
	tasks   sync.WaitGroup
	plan    atomic.Pointer[plan]
	session atomic.Pointer[mqtt.Session] // nil while there is nothing to connect for
	strayed atomic.Bool                  // the warning about strays stands

	mu      sync.Mutex          // guards the rest
	changed chan struct{}       // closed when the subscriptions are others
	former  map[string]struct{} // subscriptions the broker may still have
}

// New checks the options. It touches nothing of the world; Run does.
func New(o Options) (*Link, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.fill()
	l := &Link{
		options: o, prefix: "s" + rand.Text()[:8] + "-", intake: newIntake(o),
		pace: newPace(o.Rate, min(o.Link.Inbox, mostBurst)), changed: make(chan struct{}), former: map[string]struct{}{},
	}
	l.replies = newReplies(o, &l.tallies, l.intake.told)
	l.plan.Store(newPlan(nil, nil))
	for _, filter := range o.Former {
		l.former[filter] = struct{}{}
	}
	return l, nil
}

// Triggers puts other triggers in force, at once. When what must be subscribed to
// changes, the session is begun anew; what was on its way comes again then. Those that
// cannot be served are told as warnings. It must not be called by two at a time.
func (l *Link) Triggers(triggers []edge.Trigger) {
	before := l.plan.Load()
	p := newPlan(triggers, before)
	l.mu.Lock()
	l.plan.Store(p)
	if !slices.Equal(p.filters, before.filters) {
		for _, filter := range before.filters {
			l.former[filter] = struct{}{}
		}
		for _, filter := range p.filters {
			delete(l.former, filter)
		}
		close(l.changed)
		l.changed = make(chan struct{})
	}
	l.mu.Unlock()
	l.warn(before, p)
}

// warn tells of triggers that are not served, and takes back what is no longer so.
func (l *Link) warn(before, now *plan) {
	for _, w := range now.warnings {
		l.options.Warnings.Raise(w)
	}
	for _, old := range before.warnings {
		if !slices.ContainsFunc(now.warnings, func(w edge.Warning) bool { return w.Subject == old.Subject }) {
			l.options.Warnings.Clear(old.Code, old.Subject)
		}
	}
	if len(now.warnings) > 0 && !slices.Equal(now.warnings, before.warnings) {
		l.options.Log.Warn("triggers are not served", "count", len(now.warnings), "first", now.warnings[0].Subject, "detail", now.warnings[0].Detail)
	}
}

// Run serves the triggers until ctx ends, and returns nil after everything it started
// has ended. It may be called again then.
func (l *Link) Run(ctx context.Context) error {
	defer l.tasks.Wait()
	for ctx.Err() == nil {
		s, changed, err := l.begin(ctx)
		if err != nil {
			return err
		}
		if s == nil {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if err := l.live(ctx, s, changed); err != nil {
			return err
		}
	}
	return nil
}

// live keeps a session until the subscriptions change or ctx ends.
func (l *Link) live(ctx context.Context, s *mqtt.Session, changed <-chan struct{}) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-changed:
			end()
		case <-ctx.Done():
		}
	})
	l.session.Store(s)
	err := s.Run(ctx)
	end()
	watch.Wait()
	l.session.Store(nil)
	return err
}

// begin makes the session for the present subscriptions; nil when there is nothing to
// connect for.
func (l *Link) begin(ctx context.Context) (*mqtt.Session, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.options.Link
	o.Subscriptions = l.plan.Load().filters
	o.Unsubscribe = slices.Sorted(maps.Keys(l.former))
	o.Unsubscribe = o.Unsubscribe[:min(len(o.Unsubscribe), maxFilters)]
	if len(o.Subscriptions)+len(o.Unsubscribe) == 0 {
		return nil, l.changed, nil
	}
	o.Oversize = true
	o.Handle = func(connected context.Context, d mqtt.Delivery) { l.handle(connected, ctx, d) }
	var s *mqtt.Session
	given := o.Unsubscribe
	o.OnUp = func(connected context.Context) {
		l.forget(given)
		l.replies.deliver(connected, s)
	}
	o.OnDown = func(*mqtt.Failure) {
		l.replies.settle()
		l.intake.detach()
	}
	s, err := mqtt.New(o)
	return s, l.changed, err
}

// forget is called when the broker has given up subscriptions.
func (l *Link) forget(given []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.plan.Load().filters
	for _, filter := range given {
		if !slices.Contains(now, filter) {
			delete(l.former, filter)
		}
	}
}

func (l *Link) nextID() string { return l.prefix + strconv.FormatUint(l.serial.Add(1), 36) }
