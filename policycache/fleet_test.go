package policycache_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/boltfile/filetest"
	"holdfast/edge/trust"
	"holdfast/policycache"
)

func TestMain(m *testing.M) {
	filetest.BeChild(map[string]boltfile.Layout{"state": policycache.Layout()})
	goleak.VerifyTestMain(m)
}

// built is when the binary under test was built, and the time of its wall clock.
var built = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fleet signs documents for the node "gw-1".
type fleet struct {
	keys  map[string]ed25519.PrivateKey
	root  *trust.Root
	first *trust.Root
}

func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{keys: map[string]ed25519.PrivateKey{"root": key("root"), "policy": key("policy"), "freshness": key("freshness")}}
	f.root = f.document(t, 1)
	f.first = f.root
	return f
}

func (f *fleet) document(t testing.TB, version uint64) *trust.Root {
	t.Helper()
	var keys []trust.Key
	grants := map[trust.Role]trust.Grant{}
	for _, role := range []trust.Role{trust.RoleRoot, trust.RolePolicy, trust.RoleFreshness} {
		public, err := trust.KeyOf(f.keys[string(role)])
		must(t, err)
		keys = append(keys, public)
		grants[role] = trust.Grant{KeyIDs: []string{public.ID}, Threshold: 1}
	}
	root, err := trust.NewRoot(version, keys, grants)
	must(t, err)
	return root
}

// rotate hands a role to another key and gives the root document that says so.
func (f *fleet) rotate(t testing.TB, role, name string) []byte {
	t.Helper()
	before := f.keys["root"]
	f.keys[role] = key(name)
	f.root = f.document(t, f.root.Version+1)
	payload, err := f.root.Encode()
	must(t, err)
	envelope, err := trust.Sign(trust.TypeRoot, payload, before, f.keys["root"])
	must(t, err)
	return envelope
}

// policy signs a policy; size pads it with triggers.
func (f *fleet) policy(t testing.TB, version uint64, size int) []byte {
	t.Helper()
	return f.sign(t, edge.Policy{
		Metadata: edge.Metadata{Name: "line", Version: version, Audience: edge.Audience{Node: "gw-1"}},
		Lease:    edge.LeaseTerms{Hours: 10, Boots: 5},
		Triggers: triggers(version, size),
	})
}

func triggers(version uint64, size int) (list []edge.Trigger) {
	for i := 0; i*60 < size; i++ {
		list = append(list, edge.Trigger{MQTT: fmt.Sprintf("factory/%d/camera/%d/frame", version, i), Model: "surface"})
	}
	return list
}

func (f *fleet) sign(t testing.TB, policy edge.Policy) []byte {
	t.Helper()
	payload, err := policy.Encode()
	must(t, err)
	envelope, err := trust.Sign(trust.TypePolicy, payload, f.keys["policy"])
	must(t, err)
	return envelope
}

func (f *fleet) token(t testing.TB, nonce string, at time.Time, policy uint64) []byte {
	t.Helper()
	payload, err := trust.Token{Nonce: nonce, Node: "gw-1", Time: at, PolicyVersion: policy, RootVersion: f.root.Version}.Encode()
	must(t, err)
	envelope, err := trust.Sign(trust.TypeFreshness, payload, f.keys["freshness"])
	must(t, err)
	return envelope
}

// options are those of a node of the fleet whose boot has just begun.
func (f *fleet) options(dir string) policycache.Options {
	return policycache.Options{
		Dir: dir, Root: f.first, Identity: edge.Identity{Node: "gw-1"}, Built: built, Checker: filetest.Child("state"),
		Wall:     func() time.Time { return built },
		BootTime: func() time.Duration { return time.Minute },
		BootID:   func() string { return "boot-1" },
	}
}

func open(t testing.TB, options policycache.Options) *policycache.Store {
	t.Helper()
	store, err := policycache.New(options)
	must(t, err)
	must(t, store.Open(t.Context()))
	t.Cleanup(func() { store.Close() })
	return store
}

// openPatiently opens a store anew while the machine is too busy to check its database
// in time, which it says and which is not the store's doing. It gives the time of the
// last opening.
func openPatiently(ctx context.Context, options policycache.Options) (*policycache.Store, time.Duration, error) {
	busy := func(w edge.Warning) bool {
		return w.Code == "state-storage-failed" && strings.Contains(w.Detail, "could not be checked in time")
	}
	for tries := 1; ; tries++ {
		store, err := policycache.New(options)
		if err != nil {
			return nil, 0, err
		}
		began := time.Now()
		err = store.Open(ctx)
		took := time.Since(began)
		if err != nil || tries == 5 || !slices.ContainsFunc(store.Status().Warnings, busy) {
			return store, took, err
		}
		if err := store.Close(); err != nil {
			return nil, 0, err
		}
	}
}

// filled is a folder in which versions 1 to newest were applied.
func (f *fleet) filled(t testing.TB, newest uint64) string {
	t.Helper()
	return f.filledWith(t, newest, 2000)
}

func (f *fleet) filledWith(t testing.TB, newest uint64, size int) string {
	t.Helper()
	dir := t.TempDir()
	store := open(t, f.options(dir))
	for version := uint64(1); version <= newest; version++ {
		must(t, store.Apply(t.Context(), f.policy(t, version, size)))
		if version < newest { // so that it lies beside the newest, which is on trial
			must(t, store.Prove(t.Context(), version))
		}
	}
	must(t, store.Close())
	return dir
}

// prove ends the trial in a folder.
func (f *fleet) prove(t testing.TB, dir string, version uint64) {
	t.Helper()
	store := open(t, f.options(dir))
	must(t, store.Prove(t.Context(), version))
	must(t, store.Close())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func warned(store *policycache.Store, code string) bool {
	return slices.ContainsFunc(store.Status().Warnings, func(w edge.Warning) bool { return w.Code == code })
}

func wantState(t testing.TB, store *policycache.Store, origin policycache.Origin, version uint64) {
	t.Helper()
	got := store.Snapshot()
	if got.Origin != origin || got.Version != version || (got.Policy == nil) != (version == 0) {
		t.Fatalf("policy in force = %s version %d (%v), want %s version %d", got.Origin, got.Version, got.Policy != nil, origin, version)
	}
}

func wantReason(t testing.TB, err error, want trust.Reason) {
	t.Helper()
	if got := trust.ReasonOf(err); got != want {
		t.Fatalf("reason = %q (%v), want %q", got, err, want)
	}
}

func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(from)))
	return to
}
