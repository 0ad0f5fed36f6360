package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// faultSeed chooses which faults an ordinary run tries, and what is left to chance in each.
var faultSeed = flag.Uint64("faultseed", 1, "chooses the faults of TestFaults and what is left to chance in them")

// someFaults are those of an ordinary run; with HOLDFAST_SOAK there are all.
const someFaults = 4

// victim is what is killed.
type victim string

const (
	aShim    victim = "shim"       // of one instance
	aProcess victim = "process"    // of an instance, mostly of another one
	theHost  victim = "containerd" // brought back as a service manager does
	theAgent victim = "agent"      // likewise
)

// fault is what befalls a node.
type fault struct {
	order []victim
	// apart: the next falls when the one before has been noticed, or mended. Otherwise all
	// fall at once, and whom a service manager starts again comes back after the last.
	apart bool
}

func (f fault) String() string {
	how := "Together"
	if f.apart {
		how = "Apart"
	}
	var names []string
	for _, v := range f.order {
		names = append(names, string(v))
	}
	return how + "/" + strings.Join(names, "-")
}

// faults are all orders of two and of all four, each both ways.
func faults() (all []fault) {
	victims := []victim{aShim, aProcess, theHost, theAgent}
	for _, order := range permutations(victims) {
		for _, apart := range []bool{false, true} {
			all = append(all, fault{order, apart})
			// Of the orders of four those that end with the same two give each pair twice.
			if pair := order[:2]; slices.Index(victims, order[2]) < slices.Index(victims, order[3]) {
				all = append(all, fault{pair, apart})
			}
		}
	}
	return all
}

func permutations(of []victim) (all [][]victim) {
	if len(of) == 0 {
		return [][]victim{nil}
	}
	for i, first := range of {
		rest := slices.Concat(of[:i], of[i+1:])
		for _, tail := range permutations(rest) {
			all = append(all, append([]victim{first}, tail...))
		}
	}
	return all
}

// chosen are the faults of this run: a few that have every victim and both ways, or all.
func chosen(r *rand.Rand) []fault {
	all := faults()
	if soak() > 1 {
		return all
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b fault) int { return len(b.order) - len(a.order) })
	fours := all[:slices.IndexFunc(all, func(f fault) bool { return len(f.order) == 2 })]
	pairs := all[len(fours):]
	return slices.Concat(fours[:someFaults/2], pairs[:someFaults/2])
}

// TestFaults kills shims, processes, containerd and the agent in every order. After each
// the node serves again, holds each instance once and nothing besides, has left alone what
// was not killed, and tells what happened.
func TestFaults(t *testing.T) {
	w := openWard(t)
	r := rand.New(rand.NewPCG(*faultSeed, 6))
	for _, f := range chosen(r) {
		seed := r.Uint64() // for each its own, so that one can be tried alone
		t.Run(f.String(), func(t *testing.T) {
			begun := time.Now()
			w.in(t).suffer(f, rand.New(rand.NewPCG(seed, 1)))
			t.Logf("over after %v", time.Since(begun).Round(time.Millisecond))
		})
	}
}

// TestFaults_AreAll holds the list against what it has to be.
func TestFaults_AreAll(t *testing.T) {
	count := map[int]int{}
	names := map[string]bool{}
	for _, f := range faults() {
		count[len(f.order)]++
		names[f.String()] = true
	}
	if count[2] != 24 || count[4] != 48 || len(names) != 72 {
		t.Errorf("got %v, %d of them different, want 12 pairs and 24 orders of four, both ways", count, len(names))
	}
}

// ward is a node that faults befall.
type ward struct{ *node }

const wardSecret = "hf-e2e-ward-secret-41"

// openWard makes a node with a secret of its own and no workloads.
func openWard(t *testing.T) *ward {
	t.Helper()
	n := placeNode(t)
	n.inMemory()
	n.furnish()
	folder := filepath.Join(n.StateFolder(), "secrets")
	if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, "db"), []byte(wardSecret), 0o600)); err != nil {
		t.Fatal(err)
	}
	n.base = n.footprint()
	return &ward{n}
}

func (w *ward) in(t testing.TB) *ward { return &ward{w.node.in(t)} }

// admit has the node run a model of two instances and a service that keeps something and
// knows a secret.
func (w *ward) admit() []edge.InstanceView {
	w.t.Helper()
	store := plainService("store", `    volumes: ["data:/var/lib/store"]`, `    secrets: [db]`,
		`    x-holdfast: {startup: {http: /v2/health/ready, port: 8080, period: 500ms, failures: 60}}`)
	w.configure(w.write("line.yaml", "name: line\nsecrets: {db: {external: true}}\nvolumes: {data: }\nservices:\n"+digitsService(2)+store))
	w.reload()
	instances := w.patients()
	if err := os.WriteFile(filepath.Join(w.StateFolder(), "volumes", "line", "data", "kept"), []byte("kept"), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return instances
}

// patients are the instances once all are ready.
func (w *ward) patients() []edge.InstanceView {
	w.t.Helper()
	return append(w.awaitReady("digits", 2), w.awaitReady("store", 1)...)
}

// discharge takes everything away and wants nothing of it to be left.
func (w *ward) discharge() {
	w.t.Helper()
	w.deploy()
	w.await("nothing to run", func(ctx context.Context) error { return w.AwaitNothing(ctx) })
	w.verb("volumes", "remove", "line/data").want(w.t, 0)
	w.await("nothing to be left", func(context.Context) error { return w.base.same(w.ungoverned(w.footprint())) })
}

// suffer is one fault from beginning to end.
func (w *ward) suffer(f fault, r *rand.Rand) {
	w.t.Helper()
	before := w.admit()
	held := w.inventory(before)
	b := w.choose(before, r)
	for _, v := range f.order {
		b.strike(v, f.apart)
	}
	b.comeBack()
	after := b.recovered()
	w.ask(patient)
	w.wantServed(after)
	w.wantUnhurt(before, after, b.hit)
	w.await("only what is wanted", func(context.Context) error {
		return held.differs(w.inventory(after), slices.Collect(maps.Keys(b.hit)))
	})
	for _, complaint := range b.untold(before, after, w.allEvents(b.since)) {
		w.t.Error(complaint)
	}
	if w.t.Failed() {
		w.t.Logf("killed: %v; the events are\n%s", b.hit, w.verb("events", "--since", fmt.Sprint(b.since)).stdout)
	}
	w.discharge()
}
