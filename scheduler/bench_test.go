package scheduler

import (
	"fmt"
	"testing"
	"time"

	"holdfast/edge"
)

var sizes = []int{10, 100, 1_000, 10_000}

// filled is a core of two slots, one pool with two lanes and one with a single
// one, everything running and so many tasks waiting, with room left among them.
func filled(tb testing.TB, n int) *core {
	tb.Helper()
	c := newCore(time.Now(), 2, [3]int{n + 2, n + 2, n + 2}, 50*time.Millisecond)
	c.serve(0, []edge.Pool{
		{Name: "wide", Lanes: 2, Models: []edge.ModelCost{{Model: "digits", Cost: time.Millisecond}}},
		{Name: "narrow", Lanes: 1, Models: []edge.ModelCost{{Model: "surface", Cost: 2 * time.Millisecond}}},
	})
	for i := range n + 2 {
		model, class := "digits", edge.Normal
		if i%4 == 0 {
			model = "surface"
		}
		if i%8 == 1 {
			class = edge.Urgent
		}
		it := &item{
			task:     edge.Task{ID: fmt.Sprint("filler-", i), Model: model, Class: class},
			deadline: instant(time.Duration(i+10) * 3 * time.Millisecond),
		}
		if err := c.submit(0, it); err != nil {
			tb.Fatalf("filler %d was refused: %v", i, err)
		}
	}
	if c.queue.len() != n {
		tb.Fatalf("%d wait, want %d", c.queue.len(), n)
	}
	c.out = c.out[:0]
	return c
}

// BenchmarkQueue_SubmitDispatch is submitDispatch with so many waiting throughout.
func BenchmarkQueue_SubmitDispatch(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			submitDispatch(b, filled(b, n), edge.Task{Model: "digits", Class: edge.Batch})
		})
	}
}

// submitDispatch takes one task in, ends the oldest running one and starts the next.
func submitDispatch(b *testing.B, c *core, newcomer edge.Task) {
	b.Helper()
	newcomer.ID = "newcomer"
	items := make([]item, b.N)
	for i := range items {
		items[i].task, items[i].deadline = newcomer, instant(100*time.Hour)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range items {
		delete(c.open, "newcomer") // as if each had an id of its own, without making one
		if err := c.submit(0, &items[i]); err != nil {
			b.Fatal(err)
		}
		c.finish(0, c.runners[0], 0, edge.Answer{}, errTeachesNothing)
		c.out = c.out[:0]
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// BenchmarkQueue_SubmitGoverned is SubmitDispatch with ten waiting, for a tenant that
// is named, may ask two models, and has a rate that is always enough.
func BenchmarkQueue_SubmitGoverned(b *testing.B) {
	c := filled(b, 10)
	rate := edge.Rate{Count: 1 << 50, Per: time.Second}
	c.govern(0, &Rules{Tenants: map[string]TenantRule{
		"vision": {Rate: rate, Burst: 100, Models: []string{"digits", "surface"}}, edge.DefaultTenant: {},
	}})
	items := make([]item, b.N)
	for i := range items {
		items[i].task = edge.Task{ID: "newcomer", Model: "digits", Class: edge.Batch, Tenant: "vision"}
		items[i].deadline = instant(100 * time.Hour)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range items {
		delete(c.open, "newcomer")
		if err := c.submit(instant(i), &items[i]); err != nil {
			b.Fatal(err)
		}
		c.finish(instant(i), c.runners[0], instant(i), edge.Answer{}, errTeachesNothing)
		c.out = c.out[:0]
	}
}

// BenchmarkQueue_RefuseOverQuota is a no to a tenant that floods.
func BenchmarkQueue_RefuseOverQuota(b *testing.B) {
	c := filled(b, 1000)
	c.govern(0, &Rules{Tenants: map[string]TenantRule{"vision": {Rate: edge.Rate{Count: 1, Per: time.Hour}}}})
	c.tenants.of("vision").bucket.take(0)
	b.ReportAllocs()
	for b.Loop() {
		it := &item{task: edge.Task{ID: "newcomer", Model: "digits", Tenant: "vision"}, deadline: instant(time.Hour)}
		if c.submit(0, it) == nil {
			b.Fatal("accepted")
		}
		c.out = c.out[:0]
	}
}

// BenchmarkPlan walks the whole queue for a newcomer that stands first in it.
func BenchmarkPlan(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := filled(b, n)
			m := c.models["digits"]
			it := &item{task: edge.Task{ID: "newcomer", Model: "digits"}, model: m, size: m.sized(0), firm: true, deadline: instant(10 * time.Millisecond)}
			e := it.entry()
			b.ReportAllocs()
			for b.Loop() {
				if !c.plan.admits(0, &e) {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkQueue_Refuse is a no with the earliest acceptable deadline in it, in the
// worst case: from every place in the queue the newcomer would break the very last
// task, so each look at a place walks to the end.
func BenchmarkQueue_Refuse(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCore(time.Now(), 2, [3]int{n + 3, n + 3, n + 3}, time.Millisecond)
			c.serve(0, []edge.Pool{serving("m", 2, time.Millisecond)})
			full := instant(n/2+1) * instant(time.Millisecond)
			for i := range n + 2 {
				it := &item{task: edge.Task{ID: fmt.Sprint("filler-", i), Model: "m"}, deadline: full + instant(i)}
				if err := c.submit(0, it); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				it := &item{task: edge.Task{ID: "newcomer", Model: "m"}, deadline: full}
				if c.submit(0, it) == nil {
					b.Fatal("accepted")
				}
				c.out = c.out[:0]
			}
		})
	}
}
