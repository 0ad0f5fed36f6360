package oneshot_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime/oneshot"
)

func TestNew(t *testing.T) {
	if _, err := oneshot.New(oneshot.Options{}); err == nil {
		t.Error("a keeper without a driver was made")
	}
}

func TestKeeper_KeepsOneReady(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		if r.warm() != 1 || !r.ready() || r.changes == 0 {
			t.Errorf("got %d that stand ready, %v after %d changes told, want one", r.warm(), r.ready(), r.changes)
		}
		for range 3 {
			answer, took, err := r.task("a", 0)
			if answer != "a" || took != working || err != nil {
				t.Errorf("got %q after %v, %v, want the answer after no more than the work", answer, took, err)
			}
			r.settle()
		}
		if got := r.view(); got.Runs != 3 || got.Cold != 0 || r.warm() != 1 {
			t.Errorf("got %+v, want three tasks of which each found one ready", got)
		}
		if got := see(r.driver, func() int { return len(r.driver.there) }); got != 1 {
			t.Errorf("got %d containers, want none left of tasks", got)
		}
	})
}

// burst runs tasks that come at once, and returns how long each took.
func (r *rig) burst(t *testing.T, tasks int) []time.Duration {
	t.Helper()
	took := make([]time.Duration, tasks)
	var all sync.WaitGroup
	for i := range tasks {
		all.Go(func() {
			answer, d, err := r.task("x", 0)
			if answer != "x" || err != nil {
				t.Errorf("got %q, %v", answer, err)
			}
			took[i] = d
		})
	}
	all.Wait()
	slices.Sort(took)
	return took
}

func TestKeeper_FollowsDemand(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := tool()
		w.Replicas = 8
		w.Serve.OneShot.Warm = 3
		r.want(w)
		first := r.burst(t, 4)
		r.settle()
		if first[0] != working || first[3] < making || r.warm() != 3 {
			t.Errorf("got %v and %d that stand ready, want one found ready, the others made, and then as many as may be", first, r.warm())
		}
		if second := r.burst(t, 3); second[2] != working {
			t.Errorf("got %v, want all found ready", second)
		}
		r.settle()
		time.Sleep(30 * time.Second)
		if r.warm() != 3 {
			t.Errorf("got %d, want the burst remembered", r.warm())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.warm() != 1 {
			t.Errorf("got %d, want one when nothing came for a minute", r.warm())
		}
	})
}

func TestKeeper_NeverMoreAtWorkThanReplicas(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		r.burst(t, 12)
		if got := see(r.driver, func() int { return r.driver.worked }); got != 2 {
			t.Errorf("got %d at work at once, want 2", got)
		}
		r.settle()
		most := see(r.driver, func() int { return r.driver.most })
		if limit := 2 + 4 + 2 + 1; most > limit { // at work, ready, dead, and one being made
			t.Errorf("got %d containers at once, want at most %d", most, limit)
		}
	})
}

// While tasks want every core nothing is made ahead, for a while.
func TestKeeper_LeavesCoresToTasks(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		r.driver.set(func() { r.busy = true })
		before := see(r.driver, func() int { return r.driver.made })
		if _, _, err := r.task("a", 0); err != nil {
			t.Error(err)
		}
		time.Sleep(500 * time.Millisecond)
		if got := see(r.driver, func() int { return r.driver.made }); got != before {
			t.Errorf("made %d while no core was free", got-before)
		}
		r.settle()
		if r.warm() != 1 {
			t.Error("nothing stands ready where no core is ever free")
		}
		r.driver.set(func() { r.busy = false })
	})
}

func TestKeeper_OtherVersion(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		r.driver.set(func() { r.driver.work = 10 * time.Second })
		old := make(chan error, 1)
		w := tool()
		w.Serve.Timeout = time.Minute
		r.want(w)
		go func() {
			_, _, err := r.task("old", 0)
			old <- err
		}()
		r.settle()
		w.Image = "tool:2"
		r.Apply([]edge.Workload{w})
		time.Sleep(making / 2)
		if got := r.Views()[0].Ready; got != 0 || !r.ready() {
			t.Errorf("got %d ready, %v, want that the new version has not shown itself, and that tasks are run", got, r.ready())
		}
		r.settle()
		if r.warm() != 1 || !r.ready() {
			t.Errorf("got %d that stand ready, %v, want one", r.warm(), r.ready())
		}
		hashes := see(r.driver, func() (hashes []string) {
			for _, c := range r.driver.there {
				hashes = append(hashes, c.hash)
			}
			return hashes
		})
		if slices.Sort(hashes); !slices.Contains(hashes, w.SpecHash()) || len(hashes) != 2 {
			t.Errorf("got %v, want the one at work and a new one", hashes)
		}
		if err := <-old; err != nil {
			t.Errorf("the task at work ended with %v", err)
		}
		r.settle()
	})
}

func TestKeeper_NotWantedAnyMore(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		r.want()
		if got := see(r.driver, func() int { return len(r.driver.there) }); got != 0 || len(r.Tools()) != 0 || len(r.Views()) != 0 {
			t.Errorf("got %d containers, %v, %v, want nothing", got, r.Tools(), r.Views())
		}
		if _, _, err := r.task("a", 0); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v, want %v", err, edge.ErrNotFound)
		}
	})
}

func TestKeeper_NoReplicas(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		w := tool()
		w.Replicas = 0
		r.want(w)
		if r.warm() != 0 || r.ready() || len(r.Tools()) != 1 {
			t.Errorf("got %d that stand ready, %v, want a tool that is known and not ready", r.warm(), r.ready())
		}
	})
}

func TestKeeper_Restart(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		known := r.Restart("line/report")
		r.settle()
		if made := see(r.driver, func() int { return r.driver.made }); !known || made != 2 || r.warm() != 1 {
			t.Errorf("got %v, %d made, %d that stand ready, want another one", known, made, r.warm())
		}
		if r.Restart("line/other") {
			t.Error("what is not there was restarted")
		}
	})
}

func TestKeeper_CannotMake(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.driver.set(func() { r.driver.makeErr = errors.New("no such image") })
		r.want(tool())
		tools := r.Tools()
		if r.ready() || tools[0].Failure == nil {
			t.Errorf("got %+v, want why none can be made", tools[0])
		}
		view := r.Views()[0]
		if view.Ready != 0 || len(view.Instances) != 1 || view.Instances[0].State != edge.InstanceBackoff || view.Instances[0].Detail != "no such image" {
			t.Errorf("got %+v, want why none can be made", view.Instances)
		}
		if _, _, err := r.task("a", 0); !errors.Is(err, edge.ErrModel) || !strings.Contains(err.Error(), "no such image") {
			t.Errorf("got %v, want why", err)
		}
		time.Sleep(time.Hour)
		if got := see(r.driver, func() int { return r.driver.made }); got > 250 || got < 100 {
			t.Errorf("tried %d times within an hour, want about two a minute", got)
		}
		r.driver.set(func() { r.driver.makeErr = nil })
		r.Retry()
		time.Sleep(making + time.Millisecond)
		if !r.ready() {
			t.Error("it is not ready after a retry that succeeded")
		}
	})
}

func TestKeeper_NoRoom(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.driver.set(func() { r.driver.makeErr = edge.ErrNoRoom })
		r.want(tool())
		time.Sleep(time.Minute)
		if got := see(r.driver, func() int { return r.driver.made }); r.Tools()[0].Failure == nil || got > 20 {
			t.Errorf("got %v after %d tries, want why, and few of them", r.Tools()[0].Failure, got)
		}
	})
}

func TestKeeper_CannotRemove(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		r.driver.set(func() { r.driver.removeErr = errors.New("device busy") })
		for range 20 {
			if _, _, err := r.task("a", 0); err != nil {
				t.Fatal(err)
			}
		}
		r.settle()
		if r.Tools()[0].Stuck == nil {
			t.Error("nothing is told of what cannot be taken away")
		}
		r.driver.set(func() { r.driver.removeErr = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := see(r.driver, func() int { return len(r.driver.there) }); got != r.warm() || r.Tools()[0].Stuck != nil {
			t.Errorf("got %d containers, %v, want all dead ones taken away", got, r.Tools()[0].Stuck)
		}
	})
}

// Before the first task runs nothing is left of an earlier agent: what it had at work
// would be at work twice.
func TestKeeper_ClearsUpFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := newDriver()
		driver.left = []string{"old-1", "old-2"}
		r := start(t, driver)
		r.Apply([]edge.Workload{tool()})
		answer, took, err := r.task("a", 0)
		if answer != "a" || err != nil || took < removing+making {
			t.Errorf("got %q, %v after %v", answer, err, took)
		}
		first := see(driver, func() []string { return slices.Sorted(slices.Values(driver.removed[:2])) })
		if want := []string{"old-1", "old-2"}; !slices.Equal(first, want) {
			t.Errorf("got %v taken away first, want %v", first, want)
		}
		r.settle()
		r.stop()
		if got := see(driver, func() int { return len(driver.there) + len(driver.left) }); got != 0 {
			t.Errorf("got %d containers left at the end", got)
		}
	})
}

func TestKeeper_DaemonAway(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		r.want(tool())
		away := func(err error) {
			r.driver.set(func() { r.driver.listErr, r.driver.makeErr, r.driver.removeErr = err, err, err })
		}
		away(edge.ErrUnavailable)
		r.DaemonChanged(false)
		r.settle()
		if r.ready() || r.Tools()[0].Failure != nil || r.Tools()[0].Stuck != nil {
			t.Errorf("got %+v, want that it is not ready, and nobody's failure", r.Tools()[0])
		}
		if _, took, err := r.task("a", time.Second); !errors.Is(err, edge.ErrDeadline) || took != time.Second {
			t.Errorf("got %v after %v, want %v at the deadline", err, took, edge.ErrDeadline)
		}
		waits := make(chan error, 1)
		go func() {
			_, _, err := r.task("b", 0)
			waits <- err
		}()
		time.Sleep(time.Second)
		// It has lost what stood ready.
		r.driver.set(func() { clear(r.driver.there) })
		away(nil)
		r.DaemonChanged(true)
		if err := <-waits; err != nil {
			t.Errorf("who waited for it got %v", err)
		}
		r.settle()
		if there := see(r.driver, func() int { return len(r.driver.there) }); !r.ready() || r.warm() != 1 || there != 1 {
			t.Errorf("got %d that stand ready, %d of them there, %v, want one that is", r.warm(), there, r.ready())
		}
		if answer, _, err := r.task("c", 0); answer != "c" || err != nil {
			t.Errorf("got %q, %v", answer, err)
		}
	})
}
