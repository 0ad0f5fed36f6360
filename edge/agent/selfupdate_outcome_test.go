package agent

import (
	"errors"
	"testing"

	"holdfast/edge"
	"holdfast/edge/slots"
)

// TestUpdater_Outcome: the report says of the last update how it ended, and of one on trial
// what is left of it.
func TestUpdater_Outcome(t *testing.T) {
	want := func(b *updateBench, version string, result edge.AgentResult, why string) {
		b.Helper()
		got := b.Report().Last
		if got.Version != version || got.Result != result || (got.Why != "") != (why != "") || why != "" && got.Why != why {
			b.Errorf("the last update is %+v, want version %q %s: %q", got, version, result, why)
		}
	}
	// starts is the next process's look at the slots.
	starts := func(b *updateBench, running slots.Name) {
		b.become(running)
		b.set(func(r *edge.AgentReport) { *r = edge.AgentReport{} })
		b.outcome(b.look())
	}
	switched := func(t *testing.T) *updateBench {
		b := newUpdateBench(t, slots.Factory)
		_, err := b.get(b.release("1.1", 2))
		b.must(err)
		want(b, "", "", "")
		starts(b, slots.A)
		return b
	}
	t.Run("OnTrial", func(t *testing.T) {
		b := switched(t)
		want(b, "", "", "")
		if r := b.Report(); !r.Trial || r.Previous != "1.0" || r.TriesLeft != slots.Tries-1 {
			t.Errorf("of the trial it reports %+v, want %d tries left after one start", r, slots.Tries-1)
		}
	})
	t.Run("Kept", func(t *testing.T) {
		b := switched(t)
		b.confirm()
		want(b, "1.1", edge.AgentKept, "")
		if r := b.Report(); r.Trial || r.TriesLeft != 0 {
			t.Errorf("it reports %+v", r)
		}
		starts(b, slots.A)
		want(b, "1.1", edge.AgentKept, "")
	})
	t.Run("Left", func(t *testing.T) {
		b := switched(t)
		b.reject("no link to the fleet")
		starts(b, slots.Factory)
		want(b, "1.1", edge.AgentLeft, "no link to the fleet")
	})
	t.Run("Refused", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		b.fails = errors.New("it fell over")
		_, err := b.get(w)
		want(b, "1.1", edge.AgentRefused, b.Report().Last.Why)
		if err == nil || b.Report().Last.Why == "" {
			t.Errorf("it was refused without a word: %v", err)
		}
	})
	t.Run("Awaited", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		b.reread = func() error { return errors.New("line 3") }
		if _, err := b.get(w); !errors.Is(err, edge.ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		want(b, "1.1", edge.AgentAwaited, b.Report().Last.Why)
		b.reread = func() error { return nil }
		_, err := b.get(w)
		b.must(err)
		starts(b, slots.A)
		want(b, "", "", "") // on trial: what was before it is no news
	})
}
