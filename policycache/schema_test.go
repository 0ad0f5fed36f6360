package policycache_test

import (
	"os"
	"testing"

	"holdfast/policycache"
)

// TestStore_OpenSchema1 opens a database as the first schema's code left it, with
// nothing beside it: a rotated freshness role, a policy that failed, and version 5 on
// trial against version 3.
func TestStore_OpenSchema1(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	options := fleet.options(t.TempDir())
	must(t, os.CopyFS(options.Dir, os.DirFS("testdata/schema-1")))
	store := open(t, options)
	wantState(t, store, policycache.OriginCurrent, 5)
	status, in := store.Status(), store.Snapshot()
	if status.Epoch != "9340dbbb4e3cfeca" || status.Root != 2 || len(status.Warnings) != 0 {
		t.Errorf("status = %+v, want the epoch of the file, root 2 and no warning", status)
	}
	if len(status.Refused) != 1 || status.Refused[0].Version != 4 {
		t.Errorf("refused = %+v, want version 4", status.Refused)
	}
	if in.Trial == nil || in.Proven == nil || in.Proven.Metadata.Version != 3 {
		t.Errorf("on trial: %+v against %+v, want version 3", in.Trial, in.Proven)
	}
	must(t, store.Prove(t.Context(), 5))
	must(t, store.Close())
	wantState(t, open(t, options), policycache.OriginCurrent, 5)
}
