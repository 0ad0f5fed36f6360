package scheduler

import (
	"slices"
	"testing"
	"testing/quick"

	"holdfast/edge"
)

func TestSeats_Take(t *testing.T) {
	t.Run("LowestFree", func(t *testing.T) {
		s := make(seats, 1)
		for want := range int32(130) { // more than were counted on
			if got := s.take(); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
		}
		for _, n := range []int32{70, 3, 128} {
			s.leave(n)
		}
		got := []int32{s.take(), s.take(), s.take(), s.take()}
		if want := []int32{3, 70, 128, 130}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("NeverTwice", func(t *testing.T) {
		holds := func(leave []uint8) bool {
			s, held := make(seats, 1), map[int32]bool{}
			for _, l := range leave {
				n := s.take()
				if held[n] {
					return false
				}
				held[n] = true
				if n := int32(l); held[n] {
					delete(held, n)
					s.leave(n)
				}
			}
			return true
		}
		if err := quick.Check(holds, nil); err != nil {
			t.Error(err)
		}
	})
}

// TestCore_Slots: what runs keeps its slot, no two have the same, and whoever starts takes
// one that is free.
func TestCore_Slots(t *testing.T) {
	c := filled(t, 10)
	slots := func() map[string]edge.Slot {
		got := map[string]edge.Slot{}
		for _, view := range c.snapshot(0).Running {
			got[view.ID] = view.Slot
		}
		return got
	}
	before := slots()
	first, second := c.runners[0], c.runners[1]
	if before[first.task.ID] == before[second.task.ID] {
		t.Fatalf("got %v", before)
	}
	c.finish(0, first, 0, edge.Answer{}, errTeachesNothing)
	after := slots()
	if after[second.task.ID] != before[second.task.ID] {
		t.Errorf("it has moved from %v to %v", before, after)
	}
	for id, slot := range after {
		if id != second.task.ID && slot != before[first.task.ID] {
			t.Errorf("%s: got %v, want the one that is free, %v", id, slot, before[first.task.ID])
		}
	}
	if got := first.settlement.Slot; got != before[first.task.ID] {
		t.Errorf("its settlement: got %v", got)
	}
}
