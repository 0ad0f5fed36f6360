package policycache_test

import (
	"slices"
	"testing"

	"holdfast/policycache"
)

func TestStore_Trial(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	options := fleet.options(t.TempDir())
	failing := []string{"line/camera"}
	options.Failing = func() []string { return failing }
	store := open(t, options)
	apply := func(version uint64) {
		t.Helper()
		must(t, store.Apply(t.Context(), fleet.policy(t, version, 0)))
	}
	want := func(version, proven uint64) {
		t.Helper()
		s := store.Snapshot()
		switch {
		case s.Version != version:
			t.Errorf("got version %d, want %d", s.Version, version)
		case proven == 0 && (s.Trial != nil || s.Proven != nil):
			t.Errorf("version %d is on trial against %+v, want none", version, s.Proven)
		case proven > 0 && (s.Trial == nil || s.Proven == nil || s.Proven.Metadata.Version != proven):
			t.Errorf("version %d: got trial %+v against %+v, want one against %d", version, s.Trial, s.Proven, proven)
		}
	}
	apply(1)
	want(1, 0) // nothing to go back to
	apply(2)
	want(2, 1)
	if got := store.Snapshot().Trial.Failing; !slices.Equal(got, failing) {
		t.Errorf("got failing %q, want %q", got, failing)
	}
	apply(2) // the same again goes on with its trial
	want(2, 1)
	must(t, store.Prove(t.Context(), 2))
	want(2, 0)
	if store.Prove(t.Context(), 7) == nil {
		t.Error("a version that is not in force has proven itself")
	}
	t.Run("Overtaken", func(t *testing.T) {
		apply(3)
		failing = []string{"line/other"} // by version 3, and so no excuse for version 4
		apply(4)
		apply(5)
		want(5, 2)
		if got := store.Snapshot().Trial.Failing; !slices.Equal(got, []string{"line/camera"}) {
			t.Errorf("got failing %q, want what failed before the trials", got)
		}
		must(t, store.Rollback(t.Context(), 5, "fails"))
		want(2, 0)
	})
	t.Run("Restarted", func(t *testing.T) {
		apply(6)
		for range 5 { // in order
			must(t, store.Close())
			store = open(t, options)
			want(6, 2)
		}
		must(t, store.Rollback(t.Context(), 6, "fails"))
		want(2, 0)
		must(t, store.Close())
		store = open(t, options)
		want(2, 0)
	})
}

// TestStore_TrialCrashes: a policy under which the agent ends again and again is taken
// back by the one that starts.
func TestStore_TrialCrashes(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	options := fleet.options(t.TempDir())
	store := open(t, options)
	must(t, store.Apply(t.Context(), fleet.policy(t, 1, 0)))
	must(t, store.Apply(t.Context(), fleet.policy(t, 2, 0)))
	for crash := 1; crash <= 3; crash++ {
		options.Dir = copyDir(t, options.Dir) // as a crash leaves it: nothing was closed
		store = open(t, options)
		version, wanted := store.Snapshot().Version, uint64(2)
		if crash == 3 {
			wanted = 1
		}
		if version != wanted {
			t.Fatalf("after %d crashes: got version %d, want %d", crash, version, wanted)
		}
	}
	if !warned(store, "policy-rolled-back") {
		t.Errorf("warnings = %v, want policy-rolled-back", store.Status().Warnings)
	}
	wantReason(t, store.Apply(t.Context(), fleet.policy(t, 2, 0)), policycache.ReasonRolledBack)
	must(t, store.Apply(t.Context(), fleet.policy(t, 3, 0)))
}
