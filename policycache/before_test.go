package policycache_test

import (
	"errors"
	"slices"
	"testing"

	"holdfast/edge"
)

// TestStore_Before: what is promised to come back comes back, and what is told to be
// kept is all there is to come back.
func TestStore_Before(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	options := fleet.options(t.TempDir())
	options.Factory = fleet.policy(t, 1, 0)
	store := open(t, options)
	want := func(before uint64, kept ...uint64) {
		t.Helper()
		next, err := store.Before(t.Context())
		switch {
		case before == 0 && !errors.Is(err, edge.ErrNotFound):
			t.Errorf("got %+v and error %v, want %v", next, err, edge.ErrNotFound)
		case before > 0 && (err != nil || next.Metadata.Version != before):
			t.Errorf("got %+v and error %v, want version %d", next, err, before)
		}
		policies, err := store.Policies(t.Context())
		must(t, err)
		var versions []uint64
		for _, p := range policies {
			versions = append(versions, p.Metadata.Version)
		}
		slices.Sort(versions)
		if got := slices.Compact(versions); !slices.Equal(got, kept) {
			t.Errorf("got versions %d kept, want %d", got, kept)
		}
	}
	apply := func(version uint64) {
		t.Helper()
		must(t, store.Apply(t.Context(), fleet.policy(t, version, 0)))
	}
	rollBack := func(version, to uint64) {
		t.Helper()
		must(t, store.Rollback(t.Context(), version, "asked for"))
		if got := store.Snapshot().Version; got != to {
			t.Errorf("got version %d in force, want %d", got, to)
		}
	}
	want(0, 1)
	apply(2)
	want(1, 1, 2)
	must(t, store.Prove(t.Context(), 2))
	apply(3)
	want(2, 1, 2, 3)
	must(t, store.Prove(t.Context(), 3))
	want(2, 1, 2, 3)
	must(t, store.Close())
	store = open(t, options)
	want(2, 1, 2, 3)
	rollBack(3, 2)
	want(1, 1, 2)
	apply(4)
	apply(5) // overtakes 4, which has not proven itself
	want(2, 1, 2, 5)
	rollBack(5, 2)
	rollBack(2, 1)
	want(0, 1)
	t.Run("None", func(t *testing.T) {
		empty := open(t, fleet.options(t.TempDir()))
		if _, err := empty.Before(t.Context()); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v, want %v", err, edge.ErrNotFound)
		}
		must(t, empty.Close())
		if _, err := empty.Policies(t.Context()); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("closed: got %v, want %v", err, edge.ErrUnavailable)
		}
	})
}
