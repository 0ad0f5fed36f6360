package policycache_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
	"holdfast/policycache"
)

func TestStore_Open(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)

	t.Run("EmptyFolderDeniesAll", func(t *testing.T) {
		store := open(t, fleet.options(t.TempDir()))
		wantState(t, store, policycache.OriginNone, 0)
		if !warned(store, "policy-none") || !store.Status().NeedFull || !store.Status().Kept {
			t.Errorf("status = %+v, want policy-none, needFull and kept", store.Status())
		}
	})
	t.Run("Factory", func(t *testing.T) {
		options := fleet.options(t.TempDir())
		options.Factory = fleet.policy(t, 3, 0)
		wantState(t, open(t, options), policycache.OriginFactory, 3)
	})
	t.Run("ForgedFactory", func(t *testing.T) {
		other := newFleet(t)
		other.keys["policy"] = key("thief")
		options := fleet.options(t.TempDir())
		options.Factory = other.policy(t, 3, 0)
		store := open(t, options)
		wantState(t, store, policycache.OriginNone, 0)
		if !warned(store, "policy-factory") {
			t.Errorf("warnings = %v, want policy-factory", store.Status().Warnings)
		}
	})
	t.Run("Again", func(t *testing.T) {
		dir := fleet.filled(t, 3)
		fleet.prove(t, dir, 3)
		before, err := os.ReadFile(filepath.Join(dir, "state.db"))
		must(t, err)
		store := open(t, fleet.options(dir))
		wantState(t, store, policycache.OriginCurrent, 3)
		if len(store.Status().Warnings) != 0 || len(store.Snapshot().Signers) != 1 {
			t.Errorf("status = %+v, want no warning and one signer", store.Status())
		}
		must(t, store.Close())
		after, err := os.ReadFile(filepath.Join(dir, "state.db"))
		must(t, err)
		if string(before) != string(after) {
			t.Error("opening and closing wrote to the database, though nothing changed")
		}
	})
	t.Run("HeldByAnother", func(t *testing.T) {
		dir := t.TempDir()
		open(t, fleet.options(dir))
		second, err := policycache.New(fleet.options(dir))
		must(t, err)
		if err := second.Open(t.Context()); !errors.Is(err, edge.ErrLocked) || edge.HintOf(err) == "" {
			t.Errorf("second Open = %v, want %v with a hint", err, edge.ErrLocked)
		}
	})
	t.Run("OtherNodesPolicy", func(t *testing.T) {
		dir := fleet.filled(t, 2)
		options := fleet.options(dir)
		options.Identity.Node = "gw-2"
		wantState(t, open(t, options), policycache.OriginNone, 0)
	})
}

func TestStore_Apply(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)

	t.Run("SwapsAndSignals", func(t *testing.T) {
		store := open(t, fleet.options(t.TempDir()))
		changed := store.Changed()
		must(t, store.Apply(t.Context(), fleet.policy(t, 1, 0)))
		select {
		case <-changed:
		default:
			t.Error("Changed is not closed after Apply")
		}
		wantState(t, store, policycache.OriginCurrent, 1)
	})
	t.Run("Refusals", func(t *testing.T) {
		store := open(t, fleet.options(t.TempDir()))
		must(t, store.Apply(t.Context(), fleet.policy(t, 5, 0)))
		stranger := newFleet(t)
		stranger.keys["policy"] = key("thief")
		elsewhere := fleet.sign(t, edge.Policy{
			Metadata: edge.Metadata{Name: "line", Version: 6, Audience: edge.Audience{Node: "gw-2"}}, Lease: edge.LeaseTerms{Hours: 1, Boots: 1},
		})
		for name, test := range map[string]struct {
			envelope []byte
			want     trust.Reason
		}{
			"Older":       {fleet.policy(t, 4, 0), trust.ReasonRollback},
			"SameVersion": {fleet.policy(t, 5, 100), policycache.ReasonSameVersion},
			"Stranger":    {stranger.policy(t, 6, 0), trust.ReasonUnknownKey},
			"Audience":    {elsewhere, trust.ReasonAudience},
			"Token":       {fleet.token(t, "0123456789abcdef", built, 6), trust.ReasonWrongType},
		} {
			t.Run(name, func(t *testing.T) {
				wantReason(t, store.Apply(t.Context(), test.envelope), test.want)
				wantState(t, store, policycache.OriginCurrent, 5)
			})
		}
		if err := store.Apply(t.Context(), fleet.policy(t, 5, 0)); err != nil {
			t.Errorf("Apply of what is in force = %v, want nil", err)
		}
	})
	t.Run("ReplayAfterRestartRestoreAndRebuild", func(t *testing.T) {
		dir := fleet.filled(t, 3)
		for name, spoil := range map[string]func(string){
			"Restart":  func(string) {},
			"NoFile":   func(path string) { must(t, os.Remove(path)) },
			"Garbage":  func(path string) { must(t, os.WriteFile(path, []byte("not a database"), 0o600)) },
			"OnlyZero": func(path string) { must(t, os.WriteFile(path, make([]byte, 1<<16), 0o600)) },
		} {
			t.Run(name, func(t *testing.T) {
				dir := copyDir(t, dir)
				spoil(filepath.Join(dir, "state.db"))
				store := open(t, fleet.options(dir))
				wantState(t, store, policycache.OriginCurrent, 3)
				wantReason(t, store.Apply(t.Context(), fleet.policy(t, 2, 2000)), trust.ReasonRollback)
				must(t, store.Apply(t.Context(), fleet.policy(t, 4, 0)))
			})
		}
	})
	t.Run("WhileReadersRead", func(t *testing.T) {
		store := open(t, fleet.options(t.TempDir()))
		const newest = 8
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for seen := uint64(0); seen < newest; {
					changed := store.Changed()
					got := store.Snapshot()
					if got.Version < seen || got.Policy != nil && got.Policy.Metadata.Version != got.Version {
						t.Errorf("version %d after %d", got.Version, seen)
						return
					}
					if seen = got.Version; seen < newest {
						<-changed
					}
				}
			})
		}
		for version := range uint64(newest) {
			must(t, store.Apply(t.Context(), fleet.policy(t, version+1, 0)))
		}
		readers.Wait()
	})
	t.Run("TooMuchJunk", func(t *testing.T) {
		options := fleet.options(t.TempDir())
		up := time.Minute
		options.BootTime = func() time.Duration { return up }
		store := open(t, options)
		for range 100 {
			if err := store.Apply(t.Context(), []byte("{}")); errors.Is(err, edge.ErrUnavailable) {
				break
			}
		}
		good := fleet.policy(t, 1, 0)
		if err := store.Apply(t.Context(), good); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("Apply after a hundred pieces of junk = %v, want %v", err, edge.ErrUnavailable)
		}
		up += time.Second
		must(t, store.Apply(t.Context(), good))
	})
	t.Run("Ended", func(t *testing.T) {
		store := open(t, fleet.options(t.TempDir()))
		must(t, store.Close())
		if err := store.Apply(t.Context(), fleet.policy(t, 1, 0)); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("Apply after Close = %v, want %v", err, edge.ErrUnavailable)
		}
	})
}

func TestStore_Rollback(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	dir := fleet.filled(t, 2)
	store := open(t, fleet.options(dir))
	if err := store.Rollback(t.Context(), 1, "x"); !errors.Is(err, edge.ErrNotFound) {
		t.Fatalf("Rollback of what is not in force = %v, want %v", err, edge.ErrNotFound)
	}
	must(t, store.Rollback(t.Context(), 2, "no such image"))
	check := func(store *policycache.Store) {
		t.Helper()
		wantState(t, store, policycache.OriginPrevious, 1)
		wantReason(t, store.Apply(t.Context(), fleet.policy(t, 2, 2000)), policycache.ReasonRolledBack)
		must(t, store.Apply(t.Context(), fleet.policy(t, 1, 2000))) // in force already
		if refused := store.Status().Refused; len(refused) != 1 || refused[0].Version != 2 || refused[0].Why != "no such image" {
			t.Errorf("refused = %+v, want version 2 and why", refused)
		}
		if !warned(store, "policy-rolled-back") {
			t.Errorf("warnings = %+v, want policy-rolled-back", store.Status().Warnings)
		}
	}
	check(store)
	must(t, store.Close())
	store = open(t, fleet.options(dir))
	check(store)
	must(t, store.Apply(t.Context(), fleet.policy(t, 3, 0)))
	wantState(t, store, policycache.OriginCurrent, 3)
	must(t, store.Rollback(t.Context(), 3, "crashes"))
	must(t, store.Rollback(t.Context(), 1, "crashes too"))
	wantState(t, store, policycache.OriginNone, 0)
}

func TestStore_AddRoots(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	dir := fleet.filled(t, 7)
	old := fleet.policy(t, 8, 0)
	store := open(t, fleet.options(dir))
	rotation := fleet.rotate(t, "policy", "policy-2")
	must(t, store.AddRoots(t.Context(), rotation))
	wantState(t, store, policycache.OriginCurrent, 7)
	wantReason(t, store.Apply(t.Context(), old), trust.ReasonUnknownKey)
	wantReason(t, store.AddRoots(t.Context(), rotation), trust.ReasonRollback)
	for _, lost := range []bool{false, true} {
		must(t, store.Close())
		if lost {
			must(t, os.Remove(filepath.Join(dir, "state.db")))
		}
		store = open(t, fleet.options(dir))
		wantState(t, store, policycache.OriginCurrent, 7)
		if got := store.Status().Root; got != 2 {
			t.Errorf("root version = %d, want 2 (database lost: %v)", got, lost)
		}
		wantReason(t, store.Apply(t.Context(), old), trust.ReasonUnknownKey)
	}
	must(t, store.Apply(t.Context(), fleet.policy(t, 1, 0))) // a thief's 7 is no floor for the new keys
	wantState(t, store, policycache.OriginCurrent, 1)
	must(t, store.Close())
	store = open(t, fleet.options(dir))
	wantState(t, store, policycache.OriginCurrent, 1)
}

func TestStore_Hear(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	options := fleet.options(fleet.filled(t, 1))
	up := time.Minute
	options.BootTime = func() time.Duration { return up }
	options.BootID = func() string { return "boot-2" }
	store := open(t, options)
	if lease := store.Snapshot().Lease; lease.BootsLeft != 4 || lease.Left != 10*time.Hour-time.Minute {
		t.Errorf("lease after a reboot = %+v, want 4 boots and 9h59m", lease)
	}
	wantReason(t, store.Hear(t.Context(), fleet.token(t, "0123456789abcdef", built, 1)), trust.ReasonNonce)
	nonce, err := store.Nonce(t.Context())
	must(t, err)
	token := fleet.token(t, nonce, built.Add(time.Hour), 2)
	must(t, store.Hear(t.Context(), token))
	if lease := store.Snapshot().Lease; lease.BootsLeft != 5 || lease.Left != 10*time.Hour {
		t.Errorf("lease after a token = %+v, want it whole", lease)
	}
	if got, want := store.Status().ClockFloor, built.Add(time.Hour); !got.Equal(want) {
		t.Errorf("clock floor = %v, want the signed %v", got, want)
	}
	if !warned(store, "policy-withheld") {
		t.Error("no warning, though the fleet says it has version 2")
	}
	wantReason(t, store.Hear(t.Context(), token), trust.ReasonNonce)
	must(t, store.Apply(t.Context(), fleet.policy(t, 2, 0)))
	if warned(store, "policy-withheld") {
		t.Error("still a warning after version 2 came")
	}
}

func TestStore_Run(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	dir := fleet.filled(t, 1)
	options := fleet.options(dir)
	var began time.Time
	options.BootTime = func() time.Duration { return time.Minute + time.Since(began) }
	synctest.Test(t, func(t *testing.T) {
		began = time.Now()
		store, err := policycache.New(options)
		must(t, err)
		must(t, store.Open(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- store.Run(ctx) }()

		time.Sleep(9*time.Hour + 30*time.Second)
		if got := store.Snapshot(); got.Degraded() || got.Lease.Left != time.Hour {
			t.Errorf("after 9 h: %s with %v left, want an hour", got.State(), got.Lease.Left)
		}
		changed := store.Changed()
		time.Sleep(time.Hour)
		<-changed
		if got := store.Snapshot(); got.State() != policycache.OriginDegraded || got.Policy == nil || !warned(store, "policy-lease-ended") {
			t.Errorf("after 10 h: %s, want degraded with its policy and a warning", got.State())
		}
		cancel()
		must(t, <-ended)
		must(t, store.Close())
	})
	store := open(t, fleet.options(dir))
	if got := store.Snapshot().State(); got != policycache.OriginDegraded {
		t.Errorf("state after a restart = %s, want the ended lease kept", got)
	}
}
