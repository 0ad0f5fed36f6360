package slots

import (
	"cmp"
	"slices"
)

// Name names what can run: a slot, or the factory's program. The empty one is none.
type Name string

// What can run.
const (
	A       Name = "a"
	B       Name = "b"
	Factory Name = "factory"
)

func (n Name) isSlot() bool { return n == A || n == B }
func (n Name) known() bool  { return n == Factory || n.isSlot() }

// other is the slot beside a slot.
func (n Name) other() Name {
	if n == A {
		return B
	}
	return A
}

// Tries is how often a version is started that has not confirmed itself: twice, so that the
// third start is of one that has.
const Tries = 2

// State is what the records hold.
type State struct {
	Active    Name   `json:"active"`    // what the next start begins with
	Confirmed Name   `json:"confirmed"` // what it goes back to; the same when nothing is on trial
	TriesLeft int    `json:"triesLeft,omitempty"`
	Floor     uint64 `json:"floor,omitempty"`   // the highest sequence that was confirmed; nothing below it is installed
	Factory   string `json:"factory,omitempty"` // the version of the factory's program at the last start
	Rescue    string `json:"rescue,omitempty"`  // why the factory's program stands in for a version; empty: it does not
	Shared    bool   `json:"shared,omitempty"`  // every version ended early, so none of them is to blame
	A         Slot   `json:"a,omitzero"`
	B         Slot   `json:"b,omitzero"`
	Bad       []Bad  `json:"bad,omitempty"` // the latest last
}

// Slot is what is in a slot. One without a version is empty.
type Slot struct {
	Binary
	Proven bool   `json:"proven,omitempty"` // it was confirmed once
	Fault  string `json:"fault,omitempty"`  // why it is not started any more; empty: it may be
}

// Bad is a version that was found bad here.
type Bad struct {
	Binary
	Reason string `json:"reason"`
	// Looped: it had been confirmed and then ended early, again and again. That is taken
	// back when every other version does the same.
	Looped bool `json:"looped,omitempty"`
}

// Slot is what is in a slot; nothing is in the factory's.
func (s State) Slot(name Name) Slot {
	if name.isSlot() {
		return *s.at(name)
	}
	return Slot{}
}

// Version is the version of what a name stands for.
func (s State) Version(name Name) string {
	if name == Factory {
		return s.Factory
	}
	return s.Slot(name).Version
}

// OnTrial tells whether a version is on trial.
func (s State) OnTrial() bool { return s.Active != s.Confirmed }

// Badly returns why a program is bad, and whether it is.
func (s State) Badly(digest string) (Bad, bool) {
	i := slices.IndexFunc(s.Bad, func(b Bad) bool { return b.Digest == digest })
	if i < 0 {
		return Bad{}, false
	}
	return s.Bad[i], true
}

// at is a slot to be changed. The name is one of a slot.
func (s *State) at(name Name) *Slot {
	if name == A {
		return &s.A
	}
	return &s.B
}

// confirm ends a trial well.
func (s *State) confirm() {
	slot := s.at(s.Active)
	slot.Proven = true
	s.Confirmed, s.TriesLeft, s.Rescue, s.Shared = s.Active, 0, "", false
	s.Floor = max(s.Floor, slot.Sequence)
}

// leave goes on from the active version, which is not to be started any more, to the next.
// It is never called for the factory's.
func (s *State) leave(why fault) {
	slot := s.at(s.Active)
	slot.Fault = why.reason
	if why.bad || s.OnTrial() {
		s.condemn(Bad{Binary: slot.Binary, Reason: why.reason, Looped: why.looped})
	}
	s.TriesLeft = 0
	if s.OnTrial() {
		s.Active = s.Confirmed
		return
	}
	next := s.Active.other()
	if beside := s.at(next); !beside.Proven || beside.Fault != "" {
		next = Factory
		s.Rescue = why.reason
	}
	s.Active, s.Confirmed = next, next
}

// condemn remembers a version as bad.
func (s *State) condemn(b Bad) {
	s.Bad = slices.DeleteFunc(slices.Clone(s.Bad), func(old Bad) bool { return old.Digest == b.Digest })
	s.Bad = append(s.Bad, b)
	s.Bad = s.Bad[max(0, len(s.Bad)-maxBad):]
}

// share takes back what was said of versions that ended early, since the factory's program
// does so too, and returns to the newest of them. Nothing is left for that reason again
// before one has lasted.
func (s *State) share() bool {
	looped := slices.DeleteFunc([]Name{A, B}, func(n Name) bool {
		bad, found := s.Badly(s.at(n).Digest)
		return !found || !bad.Looped || s.at(n).Fault == ""
	})
	if len(looped) == 0 {
		return false
	}
	s.Bad = slices.DeleteFunc(slices.Clone(s.Bad), func(b Bad) bool { return b.Looped })
	for _, name := range looped {
		s.at(name).Fault = ""
	}
	newest := slices.MaxFunc(looped, func(a, b Name) int { return cmp.Compare(s.at(a).Sequence, s.at(b).Sequence) })
	s.Active, s.Confirmed, s.Rescue, s.Shared = newest, newest, "", true
	return true
}

// replant follows a factory's program that was replaced, by a package or by a new system.
// Somebody has put it there: it runs, and what the slots hold waits to be switched to.
func (s *State) replant(version string) {
	if s.Factory != "" {
		s.Active, s.Confirmed, s.TriesLeft, s.Rescue, s.Shared = Factory, Factory, 0, "", false
	}
	s.Factory = version
}

// fault is why a version is not started any more.
type fault struct {
	reason string
	bad    bool // it is the version's own doing, and not that of the disk
	looped bool // it ended early, again and again, after it was confirmed
	brief  bool // it may be otherwise at the next start
}
