package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/containerd/typeurl/v2"
	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// Suspend halts every process of an instance by one write into its cgroup; the daemon
// has no part in it. What holds still is freezing, not idle weight: DESIGN.md of
// package runtime has the figures.
func (d *Driver) Suspend(_ context.Context, id string) error {
	f := d.freezers.find(id)
	if f == nil {
		return fmt.Errorf("cannot suspend instance %q: %w", id, edge.ErrNotFound)
	}
	if err := f.freeze(); err != nil {
		return fmt.Errorf("cannot suspend instance %q: %w", id, err)
	}
	return nil
}

// Resume lets the processes of an instance go on.
func (d *Driver) Resume(_ context.Context, id string) error {
	f := d.freezers.find(id)
	if f == nil {
		return nil
	}
	if err := f.thaw(); err != nil {
		return fmt.Errorf("cannot resume instance %q: %w", id, err)
	}
	return nil
}

// hold lets an instance go on and keeps it from being suspended until it is released:
// what is frozen hears no signal, and in the first version of cgroups does not even die.
func (d *Driver) hold(id string) (release func()) {
	if checkID(id) != nil {
		return func() {}
	}
	f := d.freezers.join(id)
	f.mu.Lock()
	known := len(f.brakes) > 0
	f.mu.Unlock()
	if _ = f.thaw(); !known { // what cannot be let go on fails to stop, which is told
		thawGroups(d.cgroupTops(id))
	}
	return func() { d.freezers.leave(id, f) }
}

// freezers are the brakes of the instances that run, by their ids. The zero value is
// ready.
type freezers struct {
	mu sync.Mutex // guards of, and held of each
	of map[string]*freezer

	crowds crowds
}

// freezer halts one instance, and weighs it.
type freezer struct {
	held  int // so many want it to go on
	scale scale

	mu     sync.Mutex // guards what follows; held while the kernel is told
	brakes []brake
	why    error // why there are none
	halted bool
	firm   bool // it is not to be halted now
}

var errHeld = errors.New("it is being stopped, or a command runs in it")

func (s *freezers) find(id string) *freezer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[id]
}

// entryLocked returns the freezer of an id, made when there is none.
func (s *freezers) entryLocked(id string) *freezer {
	if s.of == nil {
		s.of = make(map[string]*freezer)
	}
	f := s.of[id]
	if f == nil {
		f = new(freezer)
		s.of[id] = f
	}
	return f
}

// meet finds the brakes and the scale of an instance once. One that an earlier agent left
// suspended goes on: nobody else would ever let it. Its weight becomes its own.
func (s *freezers) meet(id string, pid uint32, spec typeurl.Any) {
	s.mu.Lock()
	f := s.entryLocked(id)
	s.mu.Unlock()
	f.scale.meet(id, pid, spec, &s.crowds)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.brakes) > 0 {
		return
	}
	if f.brakes, f.why = brakesOf(pid, id); f.why != nil {
		return
	}
	for _, b := range f.brakes {
		if err := writeExisting(b.file, b.off); err != nil {
			f.brakes, f.why = nil, err
			return
		}
	}
}

// forget drops what is known of an instance that is gone.
func (s *freezers) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.of[id]; f != nil {
		f.scale.leave()
	}
	delete(s.of, id)
}

func (s *freezers) join(id string) *freezer {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.entryLocked(id)
	f.held++
	f.bind(true)
	return f
}

func (s *freezers) leave(id string, f *freezer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.held--; f.held > 0 {
		return
	}
	if !f.bind(false) && s.of[id] == f {
		delete(s.of, id) // there never was such an instance here
	}
}

// thawAll lets everything go on, with the weight it has by itself.
func (s *freezers) thawAll() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed []error
	for id, f := range s.of {
		if err := f.thaw(); err != nil {
			failed = append(failed, fmt.Errorf("cannot resume instance %q: %w", id, err))
		}
		if err := f.scale.weigh(atRest); err != nil {
			failed = append(failed, fmt.Errorf("cannot weigh instance %q: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

// bind says whether it may be halted, and tells whether it could be at all.
func (f *freezer) bind(firm bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.firm = firm
	return len(f.brakes) > 0 || f.why != nil
}

func (f *freezer) freeze() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.firm:
		return errHeld
	case len(f.brakes) == 0 && f.why != nil:
		return f.why
	case len(f.brakes) == 0:
		return edge.ErrNotFound
	case f.halted:
		return nil
	}
	if err := writeExisting(f.brakes[0].file, f.brakes[0].on); err != nil {
		// It may have been halted in part.
		return errors.Join(err, f.releaseLocked())
	}
	f.halted = true
	return nil
}

func (f *freezer) thaw() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.halted {
		return nil
	}
	return f.releaseLocked()
}

func (f *freezer) releaseLocked() error {
	err := writeExisting(f.brakes[0].file, f.brakes[0].off)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		f.halted = false // or its cgroup is gone, and it with that
		return nil
	}
	return err
}
