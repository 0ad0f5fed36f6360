package agent

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
)

// keptEvents is how many events of each kind stay readable: a day or more of a
// quiet node, and about 200 KiB at the worst.
const keptEvents = 512

// chronicle remembers the latest events. Task events have a ring of their own, so
// that a storm of refusals cannot push out why an instance was restarted.
type chronicle struct {
	log  *slog.Logger
	now  func() time.Time
	tell func(edge.Event) // the fleet; nil: there is none. It does not wait
	heed func(edge.Event) // what learns from events; nil: nothing does. It does not wait

	mu    sync.Mutex // guards the fields below
	seq   uint64
	node  ring[edge.Event]
	tasks ring[edge.Event]
	grown chan struct{} // closed and replaced when an event is added

	kept  *annals         // nil: for this agent alone
	ended map[string]bool // the instances whose end an earlier agent has told of

	// promised is up to where the next agent does not begin to count: of task events, which it will not
	// know, the numbers have been given out too.
	promised uint64

	refusal   string // the latest document that was not taken, and the event that told of it
	refusedAt uint64
}

func newChronicle(log *slog.Logger) *chronicle {
	return &chronicle{
		log:   log,
		now:   time.Now,
		node:  ring[edge.Event]{size: keptEvents},
		tasks: ring[edge.Event]{size: keptEvents},
		grown: make(chan struct{}),
	}
}

// Restore goes on after what an earlier agent told, with the event of this one's start, which
// says how that one ended if nobody asked it to. What this one has told already comes after
// that; nobody has read it yet. The end of an instance that the earlier one told of is not told
// again, when all that is left of it is found. What cannot be kept is only kept for this agent.
func (c *chronicle) Restore(path string, start edge.Event) {
	kept, before, err := openAnnals(path)
	if err != nil {
		c.log.Warn("events are lost with this agent", "error", err)
	}
	c.mu.Lock()
	own := c.node.all()
	c.node, c.kept, c.ended, c.seq, c.promised = ring[edge.Event]{size: keptEvents}, kept, map[string]bool{}, 0, 0
	for _, e := range before {
		c.seq = e.Seq
		if isMark(e) {
			continue
		}
		c.node.add(e)
		if isEnd(e.Kind) {
			c.ended[e.Subject] = true
		}
	}
	c.mu.Unlock()
	start.Cause = howEnded(before)
	c.Add(start)
	for _, e := range own {
		c.again(e)
	}
}

// howEnded tells of the agent whose events these are; empty when it was asked to end.
func howEnded(events []edge.Event) string {
	for _, e := range slices.Backward(events) {
		switch e.Kind {
		case edge.EventAgentStarted:
			return fmt.Sprintf("the agent before it (process %s) ended without being asked to", e.Facts["pid"])
		case edge.EventAgentStopping:
			return ""
		}
	}
	return ""
}

// again gives an event that was told before the start its place after it.
func (c *chronicle) again(e edge.Event) {
	c.mu.Lock()
	c.seq++
	e.Seq = c.seq
	c.node.add(e)
	kept := c.kept
	c.mu.Unlock()
	c.keep(kept, e)
}

func isEnd(kind edge.EventKind) bool {
	return kind == edge.EventInstanceExited || kind == edge.EventInstanceStopped
}

// Close lets go of the file; what is told from now on is kept for nobody.
func (c *chronicle) Close() {
	c.mu.Lock()
	kept := c.kept
	c.mu.Unlock()
	if kept != nil {
		kept.Close()
	}
}

// Add gives the event its number and time and keeps it.
func (c *chronicle) Add(e edge.Event) {
	c.mu.Lock()
	if isEnd(e.Kind) && c.ended[e.Subject] {
		c.mu.Unlock()
		return
	}
	kept := c.kept
	c.seq++
	e.Seq, e.At = c.seq, c.now()
	mark := edge.Event{}
	if e.Kind.OfTask() {
		c.tasks.add(e)
		if c.seq > c.promised {
			c.promised = c.seq + promise
			mark.Seq = c.promised
		}
	} else {
		c.node.add(e)
	}
	close(c.grown)
	c.grown = make(chan struct{})
	c.mu.Unlock()

	if c.heed != nil {
		c.heed(e)
	}
	c.report(e)
	c.keep(kept, e)
	c.keep(kept, mark)
	if c.tell != nil {
		c.tell(e)
	}
}

// Refused tells of a document that was not taken. The same refusal again, with nothing
// between, is told by the first: who sends garbage must not push out what happened.
func (c *chronicle) Refused(subject string, err error) {
	c.mu.Lock()
	again := c.refusal == err.Error() && c.refusedAt == c.seq
	c.mu.Unlock()
	if again {
		return
	}
	c.Add(edge.Event{Kind: edge.EventPolicyRefused, Subject: subject, Cause: err.Error()})
	c.mu.Lock()
	c.refusal, c.refusedAt = err.Error(), c.seq
	c.mu.Unlock()
}

// report writes the event to the log; what happens to single tasks is detail
// that a busy node does not want a line for.
func (c *chronicle) report(e edge.Event) {
	level := slog.LevelInfo
	if e.Kind.OfTask() {
		level = slog.LevelDebug
	}
	if !c.log.Enabled(context.Background(), level) {
		return
	}
	facts := make([]any, 0, 2*len(e.Facts)+6)
	facts = append(facts, "kind", string(e.Kind), "subject", e.Subject)
	if e.Cause != "" {
		facts = append(facts, "cause", e.Cause)
	}
	for _, key := range slices.Sorted(maps.Keys(e.Facts)) {
		facts = append(facts, key, e.Facts[key])
	}
	c.log.Log(context.Background(), level, "event", facts...)
}

// keep writes an event down for the next agent.
func (c *chronicle) keep(kept *annals, e edge.Event) {
	if kept == nil || e.Seq == 0 || e.Kind.OfTask() {
		return
	}
	if err := kept.add(e, c.ofNode); err != nil {
		c.log.Warn("events are lost with this agent", "error", err)
	}
}

// ofNode are the events that are kept for the next agent.
func (c *chronicle) ofNode() []edge.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := c.node.all()
	if c.promised > 0 {
		events = append(events, edge.Event{Seq: c.promised})
	}
	return events
}

// promise is how many numbers are promised to task events at once: what one kept line is worth.
const promise = 255

// isMark tells a number that is kept from an event.
func isMark(e edge.Event) bool { return e.Kind == "" }

// Since returns the events after seq that are still kept, oldest first.
func (c *chronicle) Since(seq uint64) []edge.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := append(c.node.latest(afterSeq(&c.node, seq)), c.tasks.latest(afterSeq(&c.tasks, seq))...)
	edge.SortStable(events, func(a, b edge.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return events
}

// Wait returns once there is an event after seq, or when ctx ends.
func (c *chronicle) Wait(ctx context.Context, seq uint64) error {
	for {
		c.mu.Lock()
		latest, grown := c.seq, c.grown
		c.mu.Unlock()
		if latest > seq {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// latest is the number of the latest event.
func (c *chronicle) latest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq
}

// ring keeps the last size values.
type ring[T any] struct {
	size   int
	values []T
	next   int // where the oldest value lies once the ring is full
}

func (r *ring[T]) add(v T) {
	if len(r.values) < r.size {
		r.values = append(r.values, v)
		return
	}
	r.values[r.next] = v
	r.next = (r.next + 1) % r.size
}

// all returns the values, oldest first.
func (r *ring[T]) all() []T {
	return append(slices.Clone(r.values[r.next:]), r.values[:r.next]...)
}

// at is the value of so many before the last.
func (r *ring[T]) at(before int) T {
	return r.values[(r.next+2*len(r.values)-1-before)%len(r.values)]
}

// last is the latest value, if there is any.
func (r *ring[T]) last() (v T, any bool) {
	if len(r.values) == 0 {
		return v, false
	}
	return r.at(0), true
}

// latest returns the last n values, or as many as there are, oldest first.
func (r *ring[T]) latest(n int) []T {
	n = min(n, len(r.values))
	some := make([]T, n)
	for i := range some {
		some[i] = r.at(n - 1 - i)
	}
	return some
}

// afterSeq is how many of the events come after that number.
func afterSeq(r *ring[edge.Event], seq uint64) int {
	n := 0
	for n < len(r.values) && r.at(n).Seq > seq {
		n++
	}
	return n
}
