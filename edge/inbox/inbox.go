package inbox

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/timetable"
	"holdfast/edge/verdict"
)

// WarningFolder says that a watched folder cannot be used. The subject is the folder.
const WarningFolder = "inbox-unusable"

// WarningWaits says that files of a watched folder have been tried in vain for long. The subject is
// the folder.
const WarningWaits = "inbox-waits"

// Tasks runs tasks.
type Tasks interface {
	// Infer submits the task and waits until it has settled.
	Infer(ctx context.Context, t edge.Task) edge.Settlement
}

// Warnings are shown to whoever looks after the node.
type Warnings interface {
	Raise(w edge.Warning)
	Clear(code, subject string)
}

// Options are what New needs. Tasks, Models and Warnings have no default.
type Options struct {
	Tasks    Tasks
	Models   verdict.Models
	Warnings Warnings
	// DefaultDeadline is what a task has whose trigger names none; nil: none.
	DefaultDeadline func(edge.Class) time.Duration
	Every           time.Duration // between two looks: 500 ms
	Most            int           // files inside at once: 4
	MaxBytes        int64         // of a file: 64 MiB
	// Arrived is when a file came into its folder; nil: when its entry last changed.
	Arrived func(fs.FileInfo) time.Time
	Log     *slog.Logger // nil: silent
}

// Status is what has become of files since the start.
type Status struct {
	Folders  int
	Timed    int                        // triggers that go by the clock alone
	Inside   int                        // being answered
	Outcomes [len(edge.Outcomes)]uint64 // of files that have left
	Unfit    uint64                     // of those, what could not be asked
	Again    uint64                     // times a file stayed as there was no room
}

// Inbox watches folders.
type Inbox struct {
	options Options
	prefix  string        // of the tasks' ids
	left    chan struct{} // capacity 1: a file has left

	mu       sync.Mutex // guards the rest
	triggers []source
	rounds   map[edge.Trigger]*round
	known    map[string]*file // by path
	settled  []errand         // that the last look found, in their order
	claimed  map[string]bool  // paths that those inside are about to take
	warned   map[string]bool  // folders
	waits    map[string]bool  // folders
	status   Status
	number   uint64
}

// source is a trigger with its times, if it has any.
type source struct {
	edge.Trigger
	times *timetable.Timetable
}

// turn is how a file, or a trigger that goes by the clock, stands.
type turn struct {
	inside bool
	tries  int
	next   time.Time // it may be tried again
}

// file is one that has been seen.
type file struct {
	turn
	size     int64
	modified time.Time
	since    time.Time // it has been like that
	failed   error     // why it is still here, though there was room
	refused  error     // why there was none
}

// New checks the options.
func New(o Options) (*Inbox, error) {
	switch {
	case o.Tasks == nil, o.Models == nil, o.Warnings == nil:
		return nil, fmt.Errorf("cannot make inbox: tasks, models and warnings are needed: %w", edge.ErrInvalid)
	case o.Every < 0, o.Most < 0, o.MaxBytes < 0:
		return nil, fmt.Errorf("cannot make inbox: options below zero: %w", edge.ErrInvalid)
	}
	o.Every, o.Most, o.MaxBytes = cmp.Or(o.Every, 500*time.Millisecond), cmp.Or(o.Most, 4), cmp.Or(o.MaxBytes, 64<<20)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Arrived == nil {
		o.Arrived = changed
	}
	if o.DefaultDeadline == nil {
		o.DefaultDeadline = func(edge.Class) time.Duration { return 0 }
	}
	return &Inbox{options: o, prefix: fmt.Sprintf("file-%x", time.Now().UnixNano()), left: make(chan struct{}, 1), rounds: map[edge.Trigger]*round{}, known: map[string]*file{}, claimed: map[string]bool{}, warned: map[string]bool{}, waits: map[string]bool{}}, nil
}

// Triggers puts other triggers in force. What is inside is answered as it was taken.
func (b *Inbox) Triggers(triggers []edge.Trigger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.triggers = nil
	rounds := map[edge.Trigger]*round{}
	wanted := map[string]bool{}
	for _, t := range triggers {
		if t.Dir == "" && !t.IsTimed() {
			continue
		}
		wanted[place(t)] = true
		times, err := times(t)
		b.reportLocked(place(t), err)
		switch {
		case err != nil:
		case t.IsTimed():
			rounds[t] = cmp.Or(b.rounds[t], &round{source: source{t, times}, since: time.Now()})
		default:
			b.triggers = append(b.triggers, source{t, times})
		}
	}
	b.rounds = rounds
	for at := range b.warned {
		if !wanted[at] {
			b.clearLocked(at)
		}
	}
	for at := range b.waits {
		if !wanted[at] {
			b.tellWaitsLocked(at, trouble{})
		}
	}
}

// place is what a warning of a trigger is about.
func place(t edge.Trigger) string { return cmp.Or(t.Dir, t.Into) }

// times are those a trigger goes by; nil: none.
func times(t edge.Trigger) (*timetable.Timetable, error) {
	if t.Cron == "" {
		return nil, nil
	}
	times, err := timetable.Parse(t.Cron)
	return &times, err
}

// Status is the inbox as it is.
func (b *Inbox) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status
	s.Folders, s.Timed = len(b.triggers), len(b.rounds)
	return s
}

// Run looks for files until ctx ends, and returns when none is inside.
func (b *Inbox) Run(ctx context.Context) error {
	var inside sync.WaitGroup
	defer inside.Wait()
	ticker := time.NewTicker(b.options.Every)
	defer ticker.Stop()
	for {
		for _, e := range b.take() {
			inside.Go(func() { b.answer(ctx, e) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-b.left:
		case <-ticker.C:
			b.look(time.Now())
		}
	}
}

// errand is a file to be answered, or what is due by the clock.
type errand struct {
	trigger edge.Trigger
	name    string
	turn    *turn
	seen    *file  // nil: it is no file of a folder
	round   *round // nil: it is one
}

func (e errand) path() string { return path.Join(e.trigger.Dir, e.name) }

// take takes in as many files as there is room for.
func (b *Inbox) take() (taken []errand) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.settled) > 0 && b.status.Inside < b.options.Most {
		e := b.settled[0]
		b.settled = b.settled[1:]
		e.turn.inside = true
		b.status.Inside++
		taken = append(taken, e)
	}
	return taken
}

// look lists the folders, and finds the files it is time for.
func (b *Inbox) look(now time.Time) {
	b.mu.Lock()
	triggers := b.triggers
	b.mu.Unlock()
	seen := map[string]bool{}
	var settled []errand
	troubles := map[string]trouble{}
	for _, t := range triggers {
		found, err := list(t.Trigger)
		b.mu.Lock()
		bad := troubles[t.Dir]
		bad.err = cmp.Or(bad.err, err)
		for _, f := range found {
			e := errand{trigger: t.Trigger, name: f.Name()}
			if seen[e.path()] { // a trigger before has it
				continue
			}
			seen[e.path()] = true
			known := b.noteLocked(e.path(), f.Size(), f.ModTime(), now)
			bad.add(b.known[e.path()])
			if known != nil && t.isOpen(b.options.Arrived(f), known.since, now) {
				e.turn, e.seen = &known.turn, known
				settled = append(settled, e)
			}
		}
		troubles[t.Dir] = bad
		b.mu.Unlock()
	}
	b.tell(troubles)
	b.forget(seen, append(settled, b.due(now)...))
}

// isOpen tells whether a file is taken now: at once, or when a time of the timetable has
// come since it arrived. That its arrival is read from the file makes up for times at
// which the node was off. What seems to have come from the future came when it was seen.
func (s source) isOpen(arrived, seen, now time.Time) bool {
	if s.times == nil {
		return true
	}
	if arrived.After(now) {
		arrived = seen
	}
	return s.times.IsDue(arrived, now)
}

// settledAfter is for how many looks a file must not have changed.
const settledAfter = 2

// noteLocked remembers a file, and returns it when it is to be taken in.
func (b *Inbox) noteLocked(at string, size int64, modified, now time.Time) *file {
	f := b.known[at]
	if f == nil || !f.inside && (f.size != size || !f.modified.Equal(modified)) {
		b.known[at] = &file{size: size, modified: modified, since: now}
		return nil
	}
	if f.inside || now.Sub(f.since) < settledAfter*b.options.Every || now.Before(f.next) {
		return nil
	}
	return f
}

// forget drops what is not in its folder any more, and remembers what is to be taken.
func (b *Inbox) forget(seen map[string]bool, settled []errand) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settled = slices.DeleteFunc(settled, func(e errand) bool { return e.turn.inside }) // since it was listed
	for at, f := range b.known {
		if !seen[at] && !f.inside {
			delete(b.known, at)
		}
	}
}
