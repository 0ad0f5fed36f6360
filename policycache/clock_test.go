package policycache_test

import (
	"testing"
	"time"

	"holdfast/policycache"
)

// TestStore_In1970 boots where the wall clock has no battery: nothing of what is in
// force, how old it is, or what is left of its lease may come from it.
func TestStore_In1970(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	dir := fleet.filled(t, 2)
	boot := func(id string, up time.Duration) policycache.Options {
		options := fleet.options(dir)
		options.Wall = func() time.Time { return time.Unix(5, 0) }
		options.BootID = func() string { return id }
		options.BootTime = func() time.Duration { return up }
		return options
	}
	wantTimes := func(t *testing.T, store *policycache.Store, left time.Duration, boots int) {
		t.Helper()
		in, status := store.Snapshot(), store.Status()
		if in.Since.Before(built) || status.ClockFloor.Before(built) {
			t.Errorf("in force since %v with a clock floor of %v, want neither before %v", in.Since, status.ClockFloor, built)
		}
		if in.Lease.Left != left || in.Lease.BootsLeft != boots {
			t.Errorf("lease has %v and %d boots left, want %v and %d", in.Lease.Left, in.Lease.BootsLeft, left, boots)
		}
		if len(status.Warnings) != 0 {
			t.Errorf("warnings = %+v, want none", status.Warnings)
		}
	}
	t.Run("InForceAtOnce", func(t *testing.T) {
		store := open(t, boot("boot-2", 2*time.Minute))
		wantState(t, store, policycache.OriginCurrent, 2)
		wantTimes(t, store, 10*time.Hour-2*time.Minute, 4)
		must(t, store.Apply(t.Context(), fleet.policy(t, 3, 0)))
		wantTimes(t, store, 10*time.Hour-2*time.Minute, 4)
		wantReason(t, store.Apply(t.Context(), fleet.policy(t, 2, 0)), "rollback")
		must(t, store.Close())
	})
	t.Run("AfterAnotherBoot", func(t *testing.T) {
		store := open(t, boot("boot-3", 3*time.Minute))
		wantState(t, store, policycache.OriginCurrent, 3)
		wantTimes(t, store, 10*time.Hour-5*time.Minute, 3)
		wantReason(t, store.Apply(t.Context(), fleet.policy(t, 2, 0)), "rollback")
		must(t, store.Close())
	})
	t.Run("Factory", func(t *testing.T) {
		options := boot("boot-1", time.Minute)
		options.Dir, options.Factory = t.TempDir(), fleet.policy(t, 1, 0)
		store := open(t, options)
		wantState(t, store, policycache.OriginFactory, 1)
		if in := store.Snapshot(); in.Since.Before(built) || in.Ended {
			t.Errorf("the factory policy is in force since %v, lease ended: %v, want not before %v and no end", in.Since, in.Ended, built)
		}
	})
}
