package policycache_test

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/policycache"
)

// TestStore_Copy: what is copied while a store is in use opens as that store would, and has
// the same policy in force.
func TestStore_Copy(t *testing.T) {
	fleet := newFleet(t)
	from, to := t.TempDir(), t.TempDir()
	store := open(t, fleet.options(from))
	if err := store.Apply(t.Context(), fleet.policy(t, 2, 0)); err != nil {
		t.Fatal(err)
	}
	if err := policycache.KeepRoot(from, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := store.Copy(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to, policycache.KeptRoot)); err != nil {
		t.Error(err)
	}
	copied := open(t, fleet.options(to))
	if got, want := copied.Snapshot().Digest, store.Snapshot().Digest; got != want || want == "" {
		t.Errorf("the copy has the policy %s in force, want %s", got, want)
	}
	if warnings := copied.Status().Warnings; len(warnings) > 0 {
		t.Errorf("the copy warns of %+v", warnings)
	}
	if err := store.Apply(t.Context(), fleet.policy(t, 3, 0)); err != nil {
		t.Errorf("the store is not in use any more: %v", err)
	}
}
