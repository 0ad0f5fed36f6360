package policycache_test

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/policycache"
)

// FuzzStore_OpenCopy: whatever policy.A holds, nothing is in force that the fleet did
// not sign.
func FuzzStore_OpenCopy(f *testing.F) {
	fleet := newFleet(f)
	whole, err := os.ReadFile(filepath.Join(fleet.filled(f, 1), "policy.A"))
	must(f, err)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("holdfast-policy 1 18446744073709551616\n\n"))
	f.Add([]byte("holdfast-policy 1 1\n{}\n{}"))
	var signed string
	f.Fuzz(func(t *testing.T, content []byte) {
		if signed == "" {
			store := open(t, fleet.options(t.TempDir()))
			must(t, store.Apply(t.Context(), fleet.policy(t, 1, 2000)))
			signed = store.Snapshot().Digest
		}
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "policy.A"), content, 0o600))
		store := open(t, fleet.options(dir))
		if got := store.Snapshot(); got.Origin != policycache.OriginNone && got.Digest != signed {
			t.Errorf("in force: %+v, which nobody signed", got)
		}
	})
}
