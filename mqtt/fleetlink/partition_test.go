//go:build !race

package fleetlink_test

import (
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
)

// TestLink_Month: a node that is cut off for thirty days, whose power fails every few
// hours, tells everything it had committed when it is back, in order, and does what
// it is wanted to.
func TestLink_Month(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 30, nil)
		w.met()
		w.broker.set(faults{noRoute: true})
		w.broker.each(func(g *guest) { g.cut() })
		began, cuts := time.Now(), 0
		for time.Since(began) < 30*24*time.Hour {
			pass(time.Duration(w.random.Int64N(int64(4 * time.Hour))))
			for range 5 {
				w.noted++
				w.node.note(w.noted)
			}
			w.node.commit(w.noted)
			if w.random.IntN(2) == 0 {
				pass(10 * time.Second) // the ring settles
			}
			w.node.crash(w.broker)
			w.start()
			cuts++
		}
		w.wanted = 9
		w.fleet.mu.Lock()
		w.fleet.desired = 9
		w.fleet.mu.Unlock()
		w.orders++
		w.fleet.issue(edge.Command{ID: "order-1", Counter: 1})
		committed := len(w.flash.entries)
		back := time.Now()
		w.broker.set(w.calm)
		await(t, "up", 2*time.Minute, w.node.isUp)
		up := time.Since(back)
		await(t, "policy", time.Minute, func() bool { return w.fleet.sees() == 9 })
		await(t, "everything", time.Hour, func() bool { return w.node.Status().Streams[0].Confirmed == uint64(len(w.flash.entries)) })
		t.Logf("30 days with %d power cuts: up %v after the network, %d committed entries confirmed %v after", cuts, up, committed, time.Since(back))
		if cuts < 200 {
			t.Errorf("%d power cuts, want hundreds", cuts)
		}
		w.heal()
		for _, problem := range w.found {
			t.Error(problem)
		}
	})
}
