package localapi

import (
	"context"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
)

const (
	// liveEvery is how often readers are told what has changed: often enough that a
	// person sees tasks move.
	liveEvery = 250 * time.Millisecond
	// aliveEvery is how often a line comes that says nothing, so that a proxy, or a
	// reader without use for the rest, knows that the stream lives.
	aliveEvery = 15 * time.Second
	// maxStreams bounds the readers: a page, a terminal and some who forgot theirs.
	maxStreams = 16
	// maxPortStreams of them may be read at the port: everybody on the node may ask there, and
	// the socket keeps some for who looks after it.
	maxPortStreams = 12
	// maxBehind is what a reader may be behind: as long as a write may take, at a
	// frame each liveEvery.
	maxBehind = int(writeTimeout / liveEvery)
	// firstEvents is how many past events a reader gets who names none.
	firstEvents = 200
	// mostTaskEvents is how many events of tasks are told at once, the latest; those
	// of the node are all told.
	mostTaskEvents = 100
)

// feed tells every reader of a live stream the same: it asks the node once, and encodes
// the answer once, however many read, and does neither while nobody does.
type feed struct {
	opts *Options
	wake chan struct{} // capacity 1: somebody has come, who may be the first

	mu      sync.Mutex // guards what follows
	readers map[*reader]struct{}
	come    []*reader // are still to be greeted

	// Of the goroutine of run.
	told  told
	fresh bool // nobody has been told anything yet since nobody read
}

// told is up to where the readers know.
type told struct {
	events  uint64
	samples uint64
	tasks   TaskMark
	alive   time.Time
}

// reader is one stream.
type reader struct {
	port   bool          // it came by the port
	after  uint64        // the event it knows already; 0: none
	frames chan []byte   // maxBehind of them, each whole messages
	lost   chan struct{} // closed when it was too far behind
}

func newFeed(opts *Options) *feed {
	return &feed{opts: opts, wake: make(chan struct{}, 1), readers: map[*reader]struct{}{}}
}

// join lets somebody read; false when as many do as may.
func (f *feed) join(after uint64, port bool) (*reader, bool) {
	r := &reader{port: port, after: after, frames: make(chan []byte, maxBehind), lost: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.readers) >= maxStreams || port && f.atPortLocked() >= maxPortStreams {
		return nil, false
	}
	f.readers[r] = struct{}{}
	f.come = append(f.come, r)
	select {
	case f.wake <- struct{}{}:
	default: // it will look, and find this one too
	}
	return r, true
}

// atPortLocked counts those who read at the port.
func (f *feed) atPortLocked() (n int) {
	for r := range f.readers {
		if r.port {
			n++
		}
	}
	return n
}

func (f *feed) leave(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.readers, r)
	f.come = slices.DeleteFunc(f.come, func(other *reader) bool { return other == r })
}

// run tells the readers until ctx ends.
func (f *feed) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		}
		f.fresh = true
		f.greet()
		if !f.tell(ctx) {
			return nil
		}
	}
}

// tell goes on until nobody reads; false when ctx has ended.
func (f *feed) tell(ctx context.Context) bool {
	ticker := time.NewTicker(liveEvery)
	defer ticker.Stop()
	for f.read() {
		select {
		case <-ctx.Done():
			return false
		case <-f.wake:
			f.greet()
		case <-ticker.C:
			if !f.fresh { // or who has come is about to be greeted
				f.round()
			}
		}
	}
	return true
}

func (f *feed) read() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.readers) > 0
}

// round tells everybody what has changed.
func (f *feed) round() {
	var out frame
	samples, taken := f.opts.Live.Samples(f.told.samples)
	f.told.samples = taken
	for _, sample := range samples {
		out.add("sample", sample)
	}
	if len(samples) > 0 {
		out.add("status", f.status())
	}
	tasks, mark := f.opts.Live.LiveTasks(f.told.tasks)
	if mark != f.told.tasks {
		f.told.tasks = mark
		out.add("tasks", listed(tasks))
	}
	events := f.opts.Events.Since(f.told.events)
	if len(events) > 0 {
		f.told.events = events[len(events)-1].Seq
	}
	out.addEvents(fewer(events))
	if now := time.Now(); now.Sub(f.told.alive) >= aliveEvery {
		f.told.alive = now
		out.alive()
	}
	f.send(out)
}

// send hands everybody who has been greeted the same bytes, and lets go of those who are
// too far behind to take them.
func (f *feed) send(out frame) {
	if len(out) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for r := range f.readers {
		if slices.Contains(f.come, r) {
			continue
		}
		select {
		case r.frames <- out:
		default:
			close(r.lost)
			delete(f.readers, r)
		}
	}
}

// greet tells those who have come what there is. From the first reader on everybody is
// told the rest at the same time.
func (f *feed) greet() {
	f.mu.Lock()
	come := f.come
	f.come = nil
	f.mu.Unlock()
	if len(come) == 0 {
		return
	}
	samples, events, tasks := f.present()
	status := f.status()
	seq := uint64(0)
	if len(events) > 0 {
		seq = events[len(events)-1].Seq
	}
	var common frame
	common.add("hello", edge.LiveHello{Node: status.Node, Version: status.Version, PID: status.PID, Started: status.Started, Seq: seq})
	common.add("history", history{Every: 1, Samples: list(samples)})
	common.add("status", status)
	common.add("tasks", listed(tasks))
	for _, r := range come {
		out := slices.Clone(common)
		out.addEvents(missing(events, r.after))
		r.frames <- out // the first of a reader: there is room
	}
}

// history is what the message of that name says.
type history struct {
	Every   int           `json:"every"` // seconds
	Samples []edge.Sample `json:"samples"`
}

// present is what those know who have read so far; all there is when nobody has.
func (f *feed) present() ([]edge.Sample, []edge.Event, edge.LiveTasks) {
	samples, taken := f.opts.Live.Samples(0)
	events := f.opts.Events.Since(0)
	tasks, mark := f.opts.Live.LiveTasks(TaskMark{})
	if f.fresh {
		f.fresh = false
		f.told = told{samples: taken, tasks: mark, alive: time.Now()}
		if len(events) > 0 {
			f.told.events = events[len(events)-1].Seq
		}
		return samples, events, tasks
	}
	// What has come since is told to everybody at the next round.
	samples = samples[:len(samples)-within(taken-f.told.samples, len(samples))]
	tasks.Ended = tasks.Ended[:len(tasks.Ended)-within(mark.Ended-f.told.tasks.Ended, len(tasks.Ended))]
	events = slices.DeleteFunc(events, func(e edge.Event) bool { return e.Seq > f.told.events })
	return samples, events, tasks
}

func within(n uint64, most int) int { return int(min(n, uint64(most))) }

// status is the node as those may see it who come by the port.
func (f *feed) status() edge.Status {
	status := f.opts.Node.Status()
	status.Workloads, status.Warnings = masked(status.Workloads), list(status.Warnings)
	return status
}

// missing are the events that a reader does not have who knows one.
func missing(events []edge.Event, after uint64) []edge.Event {
	if len(events) == 0 || after == 0 || after > events[len(events)-1].Seq {
		return events[max(len(events)-firstEvents, 0):]
	}
	return slices.DeleteFunc(slices.Clone(events), func(e edge.Event) bool { return e.Seq <= after })
}

// fewer leaves the older ones of many task events out: they come as fast as tasks do.
func fewer(events []edge.Event) []edge.Event {
	surplus := -mostTaskEvents
	for _, e := range events {
		if e.Kind.OfTask() {
			surplus++
		}
	}
	return slices.DeleteFunc(events, func(e edge.Event) bool {
		if !e.Kind.OfTask() || surplus <= 0 {
			return false
		}
		surplus--
		return true
	})
}
