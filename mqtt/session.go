package mqtt

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Session is the link to one broker.
type Session struct {
	options Options
	broker  target
	counts  counters
	living  atomic.Pointer[connection] // from CONNACK to the end
	current atomic.Pointer[connection] // while it is up

	mu      sync.Mutex // guards state and changed
	state   State
	changed chan struct{}
}

// New checks the options. It touches nothing of the world; Run does.
func New(o Options) (*Session, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.fill()
	broker, err := parseBroker(o.Broker)
	if err != nil {
		return nil, err
	}
	return &Session{options: o, broker: broker, state: State{Phase: Idle}, changed: make(chan struct{})}, nil
}

// Run keeps the link up until ctx ends, then says goodbye to the broker, so that the
// will is not published, and returns nil after everything it started has ended. It
// may be called again then.
func (s *Session) Run(ctx context.Context) error {
	defer s.enter(Idle, nil)
	pace := backoff{random: s.options.Random}
	for ctx.Err() == nil {
		f, stood := s.attempt(ctx)
		if ctx.Err() != nil {
			break
		}
		f = f.withRemedy()
		wait := pace.after(f, stood, s.options.tuned().BackoffCap)
		s.waiting(f, wait)
		pause(ctx, wait)
	}
	return nil
}

// Reconnect ends the connection there is, so that the broker sends again what was not
// acknowledged. The next attempt follows the law of waiting.
func (s *Session) Reconnect() {
	if c := s.living.Load(); c != nil {
		c.guard.fail(failure(Crowded, "more messages came than there was room for"))
	}
}

// attempt makes one connection and lives with it to its end.
func (s *Session) attempt(ctx context.Context) (f *Failure, stood time.Duration) {
	s.counts.attempts.Add(1)
	s.enter(Connecting, nil)
	c, err := s.open(ctx)
	if err != nil {
		return asFailure(err, Unreachable), 0
	}
	return c.live(ctx)
}

// waiting tells the world, and the log when it is news.
func (s *Session) waiting(f *Failure, wait time.Duration) {
	last := s.State().Failure
	s.enter(Waiting, func(state *State) { state.Failure, state.Wait = f, wait })
	if last == nil || last.Cause != f.Cause {
		s.options.Log.Warn("link is down", "broker", s.options.Broker, "cause", string(f.Cause), "err", f.Err, "wait", wait)
	}
}

// standing tells the world and the log.
func (s *Session) standing(c *connection) {
	s.counts.connections.Add(1)
	s.current.Store(c)
	s.enter(Up, func(state *State) { state.Failure, state.Resumed = nil, c.resumed })
	s.options.Log.Info("link is up", "broker", s.options.Broker, "resumed", c.resumed)
}

// pause waits, but not beyond the end of ctx.
func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
