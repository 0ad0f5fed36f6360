package scheduler_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

func tenants(rules map[string]scheduler.TenantRule) scheduler.Rules {
	return scheduler.Rules{Policy: "p version 1", Tenants: rules}
}

func (b *bench) submitAs(tenant, id string) (*scheduler.Ticket, error) {
	t := task(id, "m", edge.Normal, time.Second)
	t.Tenant = tenant
	return b.Submit(b.t.Context(), t)
}

func (b *bench) assertReason(err error, want edge.Reason) *edge.Refusal {
	b.t.Helper()
	refusal, is := edge.AsRefusal(err)
	if !is || refusal.Reason != want {
		b.t.Fatalf("verdict is %v, want a refusal with %s", err, want)
	}
	return refusal
}

func TestScheduler_Govern(t *testing.T) {
	t.Run("BeforeRunAndTheNewestCounts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, err := scheduler.New(scheduler.Options{Slots: 1, Executor: &executor{}})
			if err != nil {
				t.Fatal(err)
			}
			s.Govern(scheduler.Rules{})
			s.Govern(tenants(map[string]scheduler.TenantRule{"vision": {}}))
			if _, err := s.Submit(t.Context(), task("a", "m", edge.Normal, 0)); !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("before run: %v", err)
			}
			if got := s.Snapshot().Tenants; got != nil {
				t.Errorf("tenants before run: %+v", got)
			}
		})
	})
	t.Run("EverySubmitAfterItIsJudgedByIt", func(t *testing.T) {
		inBubble(t, 2, func(t *testing.T, b *bench) {
			for i := range 50 {
				b.Govern(tenants(map[string]scheduler.TenantRule{"vision": {}}))
				_, err := b.submitAs("audio", fmt.Sprint("no", i))
				b.assertReason(err, edge.ReasonDenied)
				b.Govern(scheduler.Rules{})
				ticket, err := b.submitAs("audio", fmt.Sprint("yes", i))
				if err != nil {
					t.Fatal(err)
				}
				b.Wait(t.Context(), ticket)
			}
		})
	})
	t.Run("TellsWhatWaitsWithoutAnotherEvent", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			runs, err := b.submitAs("vision", "runs")
			if err != nil {
				t.Fatal(err)
			}
			waits, err := b.submitAs("vision", "waits")
			if err != nil {
				t.Fatal(err)
			}
			b.Govern(tenants(map[string]scheduler.TenantRule{"audio": {}}))
			begun := time.Now()
			s := b.Wait(t.Context(), waits)
			b.assertOutcome(s, edge.Evicted)
			b.assertReason(s.Err, edge.ReasonDenied)
			if took := time.Since(begun); took != 0 {
				t.Errorf("told after %v, want at once", took)
			}
			b.assertOutcome(b.Wait(t.Context(), runs), edge.Completed)
		})
	})
	t.Run("RetryAfterHolds", func(t *testing.T) {
		inBubble(t, 2, func(t *testing.T, b *bench) {
			b.Govern(tenants(map[string]scheduler.TenantRule{
				edge.DefaultTenant: {Rate: edge.Rate{Count: 7, Per: time.Second}, Burst: 1},
			}))
			for i := range 20 {
				if _, err := b.submitAs("anybody", fmt.Sprint(i)); err != nil {
					t.Fatalf("task %d: %v", i, err)
				}
				asked := task("asked", "m", edge.Normal, time.Second)
				said := b.assertReason(b.Explain(asked), edge.ReasonOverQuota)
				_, err := b.submitAs("somebody else", fmt.Sprint("flood", i))
				if told := b.assertReason(err, edge.ReasonOverQuota); told.RetryAfter != said.RetryAfter {
					t.Errorf("told to wait %v, and asked %v", told.RetryAfter, said.RetryAfter)
				}
				timer := time.NewTimer(said.RetryAfter)
				<-timer.C
			}
			all := b.Snapshot().Tenants
			if len(all) != 1 || all[0].Submitted != 40 || all[0].OverQuota != 20 {
				t.Errorf("tenants are %+v", all)
			}
		})
	})
	t.Run("ManyAtOnce", func(t *testing.T) {
		inBubble(t, 2, func(t *testing.T, b *bench) {
			var all sync.WaitGroup
			for worker := range 4 {
				all.Go(func() {
					for i := range 50 {
						tenant := []string{"", "vision", "audio"}[i%3]
						if ticket, err := b.submitAs(tenant, fmt.Sprintf("%d-%d", worker, i)); err == nil {
							b.Wait(t.Context(), ticket)
						}
					}
				})
			}
			all.Go(func() {
				for i := range 200 {
					rules := map[string]scheduler.TenantRule{"vision": {Models: []string{"m"}}}
					if i%2 == 0 {
						rules["audio"] = scheduler.TenantRule{Rate: edge.Rate{Count: int64(i + 1), Per: time.Second}}
					}
					b.Govern(tenants(rules))
					b.Snapshot()
				}
			})
			all.Wait()
		})
	})
}
