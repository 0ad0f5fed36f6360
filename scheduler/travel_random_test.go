package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/edge"
)

// TestTravel_Random has routes, pools, rules and callers change at random while attempts take what they like, and
// holds the books after every event: nobody is lost, told twice, or held longer than is said.
func TestTravel_Random(t *testing.T) {
	bothWays(t, func(t *testing.T, room int) {
		for seed := range uint64(60) {
			wander(t, seed, room)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		}
	})
}

// wandering is a drive whose tasks travel, and what it has seen of them.
type wandering struct {
	*drive
	t       *testing.T
	r       *rand.Rand
	pools   []edge.Pool
	under   map[*item]bool // attempts under way
	started []*item
}

func wander(t *testing.T, seed uint64, room int) {
	w := &wandering{t: t, r: rand.New(rand.NewPCG(seed, 5)), under: map[*item]bool{}, pools: []edge.Pool{
		{Name: "vision", Lanes: 3, Ladder: true, Models: []edge.ModelCost{{Model: "large", Cost: 40 * ms}, {Model: "small", Cost: 10 * ms}}},
		serving("m", 2, 20*ms),
	}}
	w.drive = newSuspendingDrive(t, 2, room, w.pools...)
	w.core.travels.most = 8
	w.duration = func(it *item) (time.Duration, error) {
		return time.Duration(float64(it.size.figure.plan) * (0.5 + w.r.Float64())), nil
	}
	w.remote = w.attempt
	w.after = w.hold
	w.reroute()
	at := time.Duration(0)
	for i := range 300 {
		at += time.Duration(w.r.IntN(20)) * ms
		w.drive.at(at, func(instant) { w.happen(i) })
	}
	w.drive.at(at+time.Second, func(now instant) { // what has no deadline may wait for an instance
		w.pools[1].Lanes = 2
		w.core.serve(now, w.pools)
		w.act()
	})
	w.run()
	if c := w.core; len(c.open)+c.travels.held+c.travels.away+c.travels.attempts+len(w.under)+len(c.runners)+len(c.parked) > 0 {
		t.Errorf("%d tasks are open, %d held, %d away and %d attempts under way at the end", len(c.open), c.travels.held, c.travels.away, c.travels.attempts)
	}
}

func (w *wandering) attempt(it *item) (time.Duration, error) {
	if w.under[it] {
		w.t.Errorf("task %q is asked twice", it.task.ID)
	}
	w.under[it] = true
	took := time.Duration(w.r.IntN(80)) * ms
	switch w.r.IntN(5) {
	case 0:
		return took / 4, edge.ErrUnavailable
	case 1:
		return time.Hour, nil
	}
	return took, nil
}

// happen is a task, or one of the changes that come about less often.
func (w *wandering) happen(i int) {
	switch w.r.IntN(20) {
	case 0:
		w.reroute()
	case 1:
		lanes := w.pools[1].Lanes
		w.pools[1].Lanes = []int{0, lanes, 2}[w.r.IntN(3)]
		w.core.serve(w.now, w.pools[:1+w.r.IntN(2)])
		w.act()
	case 2:
		if len(w.started) > 0 {
			w.core.cancel(w.now, w.started[w.r.IntN(len(w.started))])
			w.act()
		}
	default:
		within := []time.Duration{0, 15, 40, 80, 200, 1000}[w.r.IntN(6)] * ms
		it, err := w.submit(fmt.Sprint(i), []string{"large", "m", "elsewhere"}[w.r.IntN(3)], edge.Classes[w.r.IntN(3)], within)
		if err == nil {
			w.started = append(w.started, it)
		}
	}
}

func (w *wandering) reroute() {
	rules := Rules{Routes: map[string]RouteRule{}, LocalOnly: w.r.IntN(6) == 0}
	if w.r.IntN(3) == 0 {
		rules.PreferSmall = edge.WhyHealth
	}
	for _, model := range []string{"large", "m", "elsewhere"} {
		if mode := edge.Routes[w.r.IntN(4)]; mode != edge.RouteLocal {
			rules.Routes[model] = RouteRule{Mode: mode, To: fmt.Sprint(w.r.IntN(2))}
		}
	}
	if w.r.IntN(8) == 0 {
		rules.Tenants = map[string]TenantRule{"other": {}}
	}
	w.govern(rules)
}

// hold holds the books.
func (w *wandering) hold() {
	c, held, gone := w.core, 0, 0
	if err := conserved(c, len(w.ended)); err != nil {
		w.t.Fatal(err)
	}
	for _, e := range c.queue.entries() {
		if e.held != e.item.held {
			w.t.Fatalf("task %q is held %v in the queue, and %v itself", e.item.task.ID, e.held, e.item.held)
		}
		if e.held {
			held++
			if late := w.now - e.item.until; late > 1 && e.size.pool.lanes > 0 {
				w.t.Fatalf("task %q is held %v longer than it was to be", e.item.task.ID, time.Duration(late))
			}
		}
	}
	for _, it := range c.open {
		if it.phase == away {
			gone++
			if !it.asking {
				w.t.Fatalf("task %q is away, and nobody is asked", it.task.ID)
			}
		}
	}
	for it := range w.under {
		if !it.asking {
			delete(w.under, it)
		}
	}
	if held != c.travels.held || gone != c.travels.away || len(w.under) != c.travels.attempts || c.travels.attempts > c.travels.most {
		w.t.Fatalf("%d are held, %d away and %d asked, and the books say %d, %d and %d", held, gone, len(w.under), c.travels.held, c.travels.away, c.travels.attempts)
	}
}
