package slots

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"holdfast/edge"
)

// Options are what a Store needs. Dir has no default.
type Options struct {
	Dir     string // the folder of the slots; it need not be there
	Running Name   // what this process is; empty: it was not started by the launcher
	Factory string // the version of the factory's program; empty: unknown
	// Run is a folder in memory that is kept while the machine runs. In it the starts of a
	// confirmed version are counted that none of them outlived for long, and it is noted which
	// programs were read since the machine was started. Empty: neither is done.
	Run string
	// Patience is how long Choose waits for programs that are read from a disk that gives
	// them slowly or not at all; zero: 25 seconds, of the 90 in which an agent has to be ready.
	Patience time.Duration
	Disk     Disk // nil: the real one
}

// Store is the slots and their records.
type Store struct {
	o    Options
	disk Disk

	mu      sync.Mutex // one change at a time
	refused map[Name]fault
}

// New checks options. It touches no file.
func New(o Options) (*Store, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("cannot use slots at %q: it is not an absolute path", o.Dir)
	}
	if o.Patience == 0 {
		o.Patience = 25 * time.Second
	}
	if o.Disk == nil {
		o.Disk = realDisk{}
	}
	return &Store{o: o, disk: o.Disk, refused: map[Name]fault{}}, nil
}

// Running is what this process is.
func (s *Store) Running() Name { return s.o.Running }

// Path is where the program of a slot lies.
func (s *Store) Path(name Name) string { return filepath.Join(s.o.Dir, string(name), programName) }

const programName = "holdfast"

// State reads what the records hold. With an error none of them can be read, and the state
// is that of a node that has the factory's program alone; the next change begins anew from
// there.
func (s *Store) State() (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.read()
	return found.newest.State, err
}

// change reads the records, has them changed, and writes them if they differ.
func (s *Store) change(change func(*State) error) error {
	found, err := s.read()
	if err != nil && !found.lost {
		return err
	}
	state := found.newest.State
	if err := change(&state); err != nil {
		return err
	}
	if same(state, found.newest.State) && !found.lost {
		return nil
	}
	return s.write(found, state)
}

// same compares by what would be written.
func same(one, other State) bool {
	a, errA := record{1, one}.encode()
	b, errB := record{1, other}.encode()
	return errors.Join(errA, errB) == nil && string(a) == string(b)
}

// refusal is an error that says why something is not done with the slots as they are. It is
// edge.ErrInvalid.
type refusal string

// Error is the text.
func (r refusal) Error() string { return string(r) }

// Is tells that repeating it will not help.
func (r refusal) Is(target error) bool { return target == edge.ErrInvalid }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }
