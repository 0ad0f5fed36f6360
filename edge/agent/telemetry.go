package agent

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/outbox"
)

// The kinds of records the fleet is told.
const (
	recordEvent    = "event"    // an edge.Event
	recordTask     = "task"     // one settled task, without what was in it
	recordTasks    = "tasks"    // how many more there were
	recordVitals   = "vitals"   // an edge.Vitals, with the uptime in seconds
	recordReply    = "reply"    // an edge.Reply that is not kept
	recordProgress = "progress" // an edge.Reply of a command that is still carried out
)

// telemetry turns what happens on the node into records for the fleet. What a caller
// sent and what a model answered is not among it.
type telemetry struct {
	append func(outbox.Record) (uint64, error)
	clock  stamp
	vitals func() edge.Vitals
	every  time.Duration // between vitals
	log    *slog.Logger

	mu    sync.Mutex // guards what follows
	tasks taskMeter
	ended bool
}

// stamp says when something is.
type stamp struct {
	floor func() time.Time // a time that has certainly passed
}

// on puts the time into a record: since boot, and by the wall clock as far as that is
// to be believed.
func (s stamp) on(r outbox.Record) outbox.Record {
	r.Mono = sinceBoot()
	now, floor := time.Now(), s.floor()
	switch {
	case now.Before(floor):
		r.Time, r.Quality = floor, string(mqtt.TimeFloor)
	case isSynchronised():
		r.Time, r.Quality = now, string(mqtt.TimeNTP)
	default:
		r.Time, r.Quality = now, string(mqtt.TimeFloor)
	}
	return r
}

// put is on in place.
func (s stamp) put(r *outbox.Record) { *r = s.on(*r) }

// sinceBoot counts the time the machine was suspended too.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0 // no Linux that holdfast runs on lacks it
	}
	return time.Duration(now.Nano())
}

// isSynchronised asks the kernel whether something keeps the wall clock right.
func isSynchronised() bool {
	var state unix.Timex
	status, err := unix.Adjtimex(&state)
	return err == nil && status != unix.TIME_ERROR
}

// Event tells of an event that is not one of a single task.
func (t *telemetry) Event(e edge.Event) {
	if !e.Kind.OfTask() {
		t.tell(outbox.D1, recordEvent, e)
	}
}

// Settled takes note of a task. It is called on the scheduler's loop.
func (t *telemetry) Settled(s edge.Settlement) {
	t.mu.Lock()
	t.tasks.add(s)
	t.mu.Unlock()
}

// Run tells of tasks and vitals, until ctx ends; then of what is left.
func (t *telemetry) Run(ctx context.Context) error {
	tasks := time.NewTicker(tasksEvery)
	vitals := time.NewTicker(t.every)
	defer tasks.Stop()
	defer vitals.Stop()
	defer t.tellTasks(true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tasks.C:
			t.tellTasks(false)
		case <-vitals.C:
			t.tell(outbox.D1, recordVitals, tellable(t.vitals()))
		}
	}
}

func (t *telemetry) tellTasks(end bool) {
	t.mu.Lock()
	single, rest := t.tasks.take(time.Now(), end)
	t.mu.Unlock()
	for _, task := range single {
		t.tell(outbox.D1, recordTask, task)
	}
	if rest != nil {
		t.tell(outbox.D1, recordTasks, rest)
	}
}

// end says that nothing is told any more: what happens while the agent ends is for its
// log.
func (t *telemetry) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

func (t *telemetry) isEnded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

func (t *telemetry) tell(class outbox.Class, kind string, body any) {
	if t.isEnded() {
		return
	}
	text, err := json.Marshal(body)
	if err == nil {
		_, err = t.append(t.clock.on(outbox.Record{Class: class, Kind: kind, Body: text}))
	}
	if err != nil {
		t.log.Warn("record-lost", "kind", kind, "error", err.Error())
	}
}
