package slots

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// Choice is what is to be started.
type Choice struct {
	Slot    Name
	Path    string   // of the program; empty for the factory's
	Version string   // empty: unknown
	Rescue  string   // why the factory's program stands in for a version; empty: it does not
	Said    []string // what was left on the way here and why, a sentence each
}

// Choose says what is to be started, and has noted on the disk what has to be there before.
// The choice holds even with an error, which says what could not be read or written.
func (s *Store) Choose() (choice Choice, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		// Whatever is wrong in here, a gateway that nobody can reach has to start.
		if failed := recover(); failed != nil {
			err = fmt.Errorf("cannot choose a version: %v", failed)
			choice = Choice{Slot: Factory, Version: s.o.Factory, Rescue: err.Error()}
		}
	}()
	found, err := s.read()
	switch {
	case found.none:
		return Choice{Slot: Factory, Version: s.o.Factory}, nil
	case err != nil:
		return Choice{Slot: Factory, Version: s.o.Factory, Rescue: plain("nothing is known of other versions: " + err.Error())}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.Patience)
	defer cancel()
	return s.chooseFrom(ctx, found)
}

func (s *Store) chooseFrom(ctx context.Context, found book) (Choice, error) {
	state := found.newest.State
	if found.torn && state.OnTrial() {
		// The record that is gone may have counted a start.
		state.TriesLeft = max(0, state.TriesLeft-1)
	}
	if s.o.Factory != "" && s.o.Factory != state.Factory {
		state.replant(s.o.Factory)
	}
	said, brief := s.walk(ctx, &state)
	counted := state
	if state.OnTrial() {
		counted.TriesLeft--
	}
	var err error
	if !brief {
		err = s.record(found, counted)
	}
	if err != nil && state.OnTrial() {
		said = append(said, fmt.Sprintf("version %s is not tried: its tries cannot be counted", state.Version(state.Active)))
		state.Active, state.TriesLeft = state.Confirmed, 0
		more, _ := s.walk(ctx, &state)
		said = append(said, more...)
	}
	s.countStart(s.key(state))
	return s.choice(state, said), err
}

// record writes a state, if it is another one.
func (s *Store) record(found book, state State) error {
	if same(state, found.newest.State) {
		return nil
	}
	return s.write(found, state)
}

func (s *Store) choice(state State, said []string) Choice {
	c := Choice{Slot: state.Active, Version: state.Version(state.Active), Said: said}
	if c.Slot == Factory {
		c.Rescue = state.Rescue
		return c
	}
	c.Path = s.Path(c.Slot)
	return c
}

// walk goes on from what is to be started to what can be. Each step leaves a slot behind
// for good, or the factory's program once: so it ends. A brief way is for this start alone
// and is not to be recorded.
func (s *Store) walk(ctx context.Context, state *State) (said []string, brief bool) {
	for {
		if state.Active == Factory {
			if state.Shared || s.earlyStarts(s.key(*state)) < earlyEnds || !state.share() {
				return said, brief
			}
			said = append(said, fmt.Sprintf("the factory's program ends early too: back to version %s", state.Version(state.Active)))
			continue
		}
		why, found := s.against(ctx, *state)
		if !found {
			return said, brief
		}
		brief = brief || why.brief
		said = append(said, fmt.Sprintf("version %s is not started: %s", state.Version(state.Active), why.reason))
		state.leave(why)
	}
}

// against is what speaks against starting the active version, which is one of a slot.
func (s *Store) against(ctx context.Context, state State) (fault, bool) {
	slot := state.Slot(state.Active)
	why, refused := s.refused[state.Active]
	switch {
	case refused:
		return why, true
	case slot.Fault != "":
		return fault{reason: slot.Fault}, true
	case state.OnTrial() && state.TriesLeft == 0:
		return fault{reason: fmt.Sprintf("it was given %d starts and confirmed itself in none", Tries), bad: true}, true
	case !state.OnTrial() && !state.Shared && s.earlyStarts(s.key(state)) >= earlyEnds:
		return fault{reason: fmt.Sprintf("it was confirmed, and then ended early %d times in a row", earlyEnds), bad: true, looped: true}, true
	}
	switch err := s.verify(ctx, state.Active, slot.Binary); {
	case errors.Is(err, context.DeadlineExceeded):
		return fault{reason: fmt.Sprintf("the disk does not give its file within %v", s.o.Patience), brief: true}, true
	case err != nil:
		return fault{reason: plain("its file is damaged: " + err.Error())}, true
	}
	return fault{}, false
}

// verify holds the program in a slot against its description, unless that was done already.
func (s *Store) verify(ctx context.Context, name Name, b Binary) error {
	mark := s.mark(b, s.Path(name))
	if s.seen(name, mark) {
		return nil
	}
	read := make(chan error, 1)
	// A disk that is dying may keep who reads from it for minutes, and nothing ends that. Then
	// the reader is left behind, and the factory's program goes on beside it.
	go func() { read <- b.verify(ctx, s.Path(name)) }()
	select {
	case err := <-read:
		if err == nil {
			s.see(name, mark)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// key names what is started for the counter.
func (s *Store) key(state State) string {
	if state.Active == Factory {
		return string(Factory)
	}
	return state.Slot(state.Active).Digest
}

// Refuse says that the kernel did not start what was chosen. The next Choose goes on from
// there.
func (s *Store) Refuse(choice Choice, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[choice.Slot] = fault{
		reason: plain("the kernel does not start it: " + err.Error()),
		brief:  !lasting(err),
	}
}

// lasting tells whether the kernel will say the same of the program the next time, and not
// because it was short of something.
func lasting(err error) bool {
	for _, e := range []error{syscall.ENOEXEC, syscall.EACCES, syscall.EPERM, syscall.ENOENT, syscall.ENOTDIR, syscall.EINVAL, syscall.ELIBBAD, syscall.EISDIR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
