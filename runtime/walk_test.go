package runtime_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

// TestSupervisor_Walk lets everything happen in any order and holds what follows
// against the promises: never more than one instance over the replicas, and, once
// the world holds still, exactly what is wanted and no warning; where the wanted version
// has failed, the last good one, and a warning that says so.
func TestSupervisor_Walk(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint("Seed", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				d.Serve, d.Main = honest, shortLived
				newWalk(t, d, seed).run()
			})
		})
	}
}

// shortLived ends what is broken after a while.
func shortLived(ctx context.Context, stop <-chan struct{}, w edge.Workload) edge.Exit {
	var ends <-chan time.Time
	if strings.HasSuffix(w.Image, "-broken") {
		ends = time.After(150 * time.Millisecond)
	}
	select {
	case <-ctx.Done():
	case <-stop:
	case <-ends:
		return edge.Exit{Code: 7}
	}
	return edge.Exit{}
}

const walkReplicas = 3 // at most, of each workload

type walk struct {
	*house
	random *rand.Rand
	wanted map[string]edge.Workload
}

func newWalk(t *testing.T, d *fake.Driver, seed uint64) *walk {
	return &walk{
		house: newHouse(t, d), random: rand.New(rand.NewPCG(seed, 1)),
		wanted: map[string]edge.Workload{"till": service("till", 1), "digits": modelServer("digits", 2)},
	}
}

func (w *walk) run() {
	w.apply()
	for range 300 {
		w.step()
		settle(time.Duration(w.random.Int64N(int64(400 * time.Millisecond))))
		w.holdBound()
	}
	w.calmDown()
}

// step makes one thing happen.
func (w *walk) step() {
	switch w.random.IntN(11) {
	case 0, 1, 2:
		if running := w.driver.Running(); len(running) > 0 {
			w.driver.Exit(running[w.random.IntN(len(running))], edge.Exit{Code: uint32(w.random.IntN(3))})
		}
	case 3:
		there := w.random.IntN(3) > 0
		w.driver.SetDaemon(there)
		w.sup.DaemonChanged(edge.DaemonReport{Connected: there})
	case 4:
		if running := w.driver.Running(); len(running) > 0 {
			w.driver.Vanish(running[w.random.IntN(len(running))])
		}
	case 5:
		_ = w.sup.Restart(context.Background(), "shop/"+w.anyName()) // may be unknown just now
	case 6:
		_, _ = w.sup.Execute(context.Background(), due(time.Second)) // may find nothing ready
	case 7:
		if w.random.IntN(4) == 0 {
			w.again() // what is told to a new agent
			w.apply()
		}
	default:
		w.change()
		w.apply()
	}
}

func (w *walk) anyName() string { return []string{"till", "digits"}[w.random.IntN(2)] }

// change wants something else of one workload.
func (w *walk) change() {
	name := w.anyName()
	spec := service(name, 0)
	if name == "digits" {
		spec = modelServer(name, 0)
	}
	spec.Replicas = w.random.IntN(walkReplicas + 1)
	spec.Image = fmt.Sprintf("registry.test/%s:%d", name, w.random.IntN(3))
	if w.random.IntN(4) == 0 {
		spec.Image += "-broken"
	}
	if name == "digits" && w.random.IntN(3) == 0 {
		spec.Update.Canary = &edge.Canary{Share: 1 + w.random.IntN(50), For: time.Second}
	}
	if w.random.IntN(6) == 0 {
		delete(w.wanted, name)
		return
	}
	w.wanted[name] = spec
}

func (w *walk) apply() {
	var list []edge.Workload
	for _, spec := range w.wanted {
		list = append(list, spec)
	}
	w.sup.Apply(list)
}

func (w *walk) holdBound() {
	w.t.Helper()
	for _, name := range []string{"till", "digits"} {
		if got := w.driver.Peak("shop/" + name); got > walkReplicas+1 {
			w.t.Fatalf("%s: got %d at once, want at most %d", name, got, walkReplicas+1)
		}
	}
}

// calmDown lets the world hold still and looks at what is left.
func (w *walk) calmDown() {
	w.t.Helper()
	w.driver.SetDaemon(true)
	w.sup.DaemonChanged(edge.DaemonReport{Connected: true})
	settle(10 * time.Minute)
	want, hopeless := 0, map[string]bool{}
	for name, spec := range w.wanted {
		if w.holdVersion("shop/"+name, spec) {
			want += spec.Replicas
			continue
		}
		hopeless["crash-loop shop/"+name] = true
	}
	left, _ := w.driver.Instances(context.Background())
	left = slices.DeleteFunc(left, func(i edge.Instance) bool { return hopeless["crash-loop "+i.Workload] })
	if len(left) != want || slices.ContainsFunc(left, func(i edge.Instance) bool { return !i.Running }) {
		w.t.Errorf("containers: got %+v, want %d and nothing left over", left, want)
	}
	for _, code := range w.standing() {
		if !strings.HasPrefix(code, "version-failed ") && !hopeless[code] {
			w.t.Errorf("warnings: got %v, want none but of failed versions", w.standing())
		}
	}
}

// holdVersion wants the workload as it is wanted, or in the last good version if that has
// failed: then and only then it is told.
//
// It is false where what is wanted is broken, and there was none before.
func (w *walk) holdVersion(key string, spec edge.Workload) bool {
	w.t.Helper()
	got := w.view(key)
	warned := w.warning("version-failed", key).Detail != ""
	if got.Workload.SpecHash() != spec.SpecHash() {
		if failed := w.kept[key].Failed; !warned || !slices.ContainsFunc(failed, func(f edge.FailedVersion) bool { return f.Hash == spec.SpecHash() }) {
			w.t.Errorf("%s: got %s in the place of %s, which has not failed by %v", key, got.Workload.Image, spec.Image, failed)
		}
		if good := w.kept[key].Good; good == nil || good.SpecHash() != got.Workload.SpecHash() {
			w.t.Errorf("%s: got %s, want the last good version %v", key, got.Workload.Image, good)
		}
	} else if warned {
		w.t.Errorf("%s: got a warning of a failed version, and it runs as it is wanted", key)
	}
	if got.Workload.Replicas != spec.Replicas || len(got.Instances) != spec.Replicas {
		w.t.Errorf("%s: got %s, want %d", key, describe(got), spec.Replicas)
	}
	if strings.HasSuffix(got.Workload.Image, "-broken") && spec.Replicas > 0 {
		if good := w.kept[key].Good; good != nil {
			w.t.Errorf("%s: got %s though %s was good", key, got.Workload.Image, good.Image)
		}
		return false
	}
	if got.Ready != spec.Replicas {
		w.t.Errorf("%s: got %s, want %d ready", key, describe(got), spec.Replicas)
	}
	for _, inst := range got.Instances {
		if inst.SpecHash != got.Workload.SpecHash() {
			w.t.Errorf("%s: got instance %s of another version", key, inst.ID)
		}
	}
	return true
}

// TestSupervisor_CrashesCostOneTask kills instances under a steady load: a crash
// may cost the task that was in flight on it, and no other.
func TestSupervisor_CrashesCostOneTask(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		const crashes = 20
		d.Serve = func(w edge.Workload, id string) http.Handler {
			return &fake.Model{Names: w.Serve.Models(), Infer: func(w http.ResponseWriter, r *http.Request) {
				pauseFor(r.Context(), 200*time.Millisecond)
				fake.WriteAnswer(w, "digits", 1)
			}}
		}
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{modelServer("digits", 3)})
		settle(time.Minute)

		ctx, cancel := context.WithCancel(t.Context())
		var answered, failed atomic.Int32
		var clients sync.WaitGroup
		for range 4 { // one more than there are lanes
			clients.Go(func() {
				for ctx.Err() == nil {
					if _, err := h.sup.Execute(context.Background(), task("digits", "{}")); err != nil {
						failed.Add(1)
					} else {
						answered.Add(1)
					}
				}
			})
		}
		for i := range crashes {
			settle(stable + 7*time.Millisecond*time.Duration(i))
			d.Exit(d.Running()[i%3], edge.Exit{Code: 9})
		}
		settle(time.Second)
		cancel()
		clients.Wait()
		if got := failed.Load(); got > crashes {
			t.Errorf("failed: got %d tasks in %d crashes, want at most one each", got, crashes)
		}
		if got := answered.Load(); got < 3_000 {
			t.Errorf("answered: got %d, want the load to have gone on", got)
		}
		h.wantRunning(3)
	})
}

// stable is over what the supervisor calls a stable run.
const stable = 12 * time.Second
