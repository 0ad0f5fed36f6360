package slots

import "slices"

// Switch has the program in a slot tried at the next start. It is confirmed by Confirm, or
// left after Tries starts.
func (s *Store) Switch(name Name) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change(func(state *State) error {
		if !name.isSlot() {
			return refuse("cannot switch to %q: it is not a slot", name)
		}
		slot := state.Slot(name)
		bad, isBad := state.Badly(slot.Digest)
		switch {
		case state.OnTrial():
			return refuse("cannot switch to slot %s: version %s is on trial", name, state.Version(state.Active))
		case slot.Version == "":
			return refuse("cannot switch to slot %s: it is empty", name)
		case name == state.Active:
			return refuse("cannot switch to slot %s: version %s is confirmed already", name, slot.Version)
		case isBad:
			return refuse("cannot switch to version %s: it was found bad: %s", slot.Version, bad.Reason)
		case slot.Fault != "":
			return refuse("cannot switch to version %s: %s", slot.Version, slot.Fault)
		case slot.Sequence < state.Floor:
			return refuse("cannot switch to version %s: its sequence %d is below the floor of %d", slot.Version, slot.Sequence, state.Floor)
		}
		state.Active, state.TriesLeft = name, Tries
		return nil
	})
}

// Cancel ends a trial that is not yet begun, or in the middle: the next start is of the
// confirmed version, and nothing is remembered.
func (s *Store) Cancel() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change(func(state *State) error {
		state.Active, state.TriesLeft = state.Confirmed, 0
		return nil
	})
}

// Confirm says that the version that runs, and is on trial, is good. Where nothing is on
// trial it does nothing, and writes nothing.
func (s *Store) Confirm() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change(func(state *State) error {
		switch {
		case !state.OnTrial():
			return nil
		case s.o.Running != state.Active:
			return refuse("cannot confirm version %s: it is not the one that runs", state.Version(state.Active))
		}
		state.confirm()
		return nil
	})
}

// Reject remembers what is in a slot as bad, for a reason that a person reads. If it is on
// trial, the next start is of the confirmed version. What is confirmed cannot be rejected.
func (s *Store) Reject(name Name, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change(func(state *State) error {
		slot := state.Slot(name)
		switch {
		case slot.Version == "":
			return refuse("cannot reject what is in slot %q: it is empty", name)
		case name == state.Confirmed:
			return refuse("cannot reject version %s: it is confirmed", slot.Version)
		}
		if name == state.Active {
			state.leave(fault{reason: plain(reason), bad: true})
			return nil
		}
		state.at(name).Fault = plain(reason)
		state.condemn(Bad{Binary: slot.Binary, Reason: plain(reason)})
		return nil
	})
}

// Pardon takes back that a program was found bad: it may be installed and switched to.
func (s *Store) Pardon(digest string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change(func(state *State) error {
		if _, found := state.Badly(digest); !found {
			return refuse("cannot pardon %q: it was not found bad", digest)
		}
		state.Bad = slices.DeleteFunc(slices.Clone(state.Bad), func(b Bad) bool { return b.Digest == digest })
		for _, name := range []Name{A, B} {
			if slot := state.at(name); slot.Digest == digest {
				slot.Fault = ""
			}
		}
		return nil
	})
}

// Settle says that the process that runs has lasted, or ends because it was told to: the
// early ends before it no longer count. To be called a minute after the agent was ready, and
// when it ends in order. It seldom writes to the disk.
func (s *Store) Settle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetStarts()
	return s.change(func(state *State) error {
		state.Shared = false
		return nil
	})
}
