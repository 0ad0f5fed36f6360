package inbox

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/verdict"
)

// WarningFolder says that a watched folder cannot be used. The subject is the folder.
const WarningFolder = "inbox-unusable"

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
	Log             *slog.Logger  // nil: silent
}

// Status is what has become of files since the start.
type Status struct {
	Folders  int
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
	triggers []edge.Trigger
	known    map[string]*file // by path
	settled  []errand         // that the last look found, in their order
	warned   map[string]bool  // folders
	status   Status
	number   uint64
}

// file is one that has been seen.
type file struct {
	size     int64
	modified time.Time
	since    time.Time // it has been like that
	inside   bool
	tries    int
	next     time.Time // it may be tried again
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
	if o.DefaultDeadline == nil {
		o.DefaultDeadline = func(edge.Class) time.Duration { return 0 }
	}
	return &Inbox{options: o, prefix: fmt.Sprintf("file-%x", time.Now().UnixNano()), left: make(chan struct{}, 1), known: map[string]*file{}, warned: map[string]bool{}}, nil
}

// Triggers puts other triggers in force. What is inside is answered as it was taken.
func (b *Inbox) Triggers(triggers []edge.Trigger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.triggers = slices.DeleteFunc(slices.Clone(triggers), func(t edge.Trigger) bool { return t.Dir == "" })
	for folder := range b.warned {
		if !slices.ContainsFunc(b.triggers, func(t edge.Trigger) bool { return t.Dir == folder }) {
			b.clearLocked(folder)
		}
	}
}

// Status is the inbox as it is.
func (b *Inbox) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status
	s.Folders = len(b.triggers)
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

// errand is a file to be answered.
type errand struct {
	trigger edge.Trigger
	name    string
	file    *file
}

func (e errand) path() string { return path.Join(e.trigger.Dir, e.name) }

// take takes in as many files as there is room for.
func (b *Inbox) take() (taken []errand) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.settled) > 0 && b.status.Inside < b.options.Most {
		e := b.settled[0]
		b.settled = b.settled[1:]
		e.file.inside = true
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
	for _, t := range triggers {
		found, err := list(t)
		b.mu.Lock()
		b.reportLocked(t.Dir, err)
		for _, f := range found {
			e := errand{trigger: t, name: f.Name()}
			if seen[e.path()] { // a trigger before has it
				continue
			}
			seen[e.path()] = true
			if e.file = b.noteLocked(e.path(), f.Size(), f.ModTime(), now); e.file != nil {
				settled = append(settled, e)
			}
		}
		b.mu.Unlock()
	}
	b.forget(seen, settled)
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
	b.settled = slices.DeleteFunc(settled, func(e errand) bool { return e.file.inside }) // since it was listed
	for at, f := range b.known {
		if !seen[at] && !f.inside {
			delete(b.known, at)
		}
	}
}

func (b *Inbox) reportLocked(folder string, err error) {
	if err == nil {
		b.clearLocked(folder)
		return
	}
	b.warned[folder] = true
	b.options.Warnings.Raise(edge.Warning{
		Code: WarningFolder, Subject: folder, Detail: err.Error(),
		Remedy: "make the folder, and let the agent write there (the unit's ReadWritePaths); it is looked at again",
	})
}

func (b *Inbox) clearLocked(folder string) {
	if b.warned[folder] {
		delete(b.warned, folder)
		b.options.Warnings.Clear(WarningFolder, folder)
	}
}
