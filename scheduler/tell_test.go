package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// TestCore_OffersWhatItWouldAccept asks again, with the deadline it was told, for whatever has just been evicted.
func TestCore_OffersWhatItWouldAccept(t *testing.T) {
	for _, beyond := range []int{4, -1} {
		offered, withheld := 0, 0
		for seed := range uint64(600) {
			d, r := busyWith(t, seed, beyond)
			told := len(d.ended)
			_, _ = d.submit("newcomer", []string{"short", "middle"}[r.IntN(2)], edge.Urgent, 20*ms+time.Duration(r.IntN(60))*ms)
			for _, it := range d.ended[told:] {
				refusal, is := edge.AsRefusal(it.settlement.Err)
				if !is || it.settlement.Outcome != edge.Evicted || it.pool != nil {
					continue
				}
				if refusal.Earliest == 0 {
					withheld++
					continue
				}
				offered++
				again := &item{task: edge.Task{ID: "again", Model: it.task.Model, Class: it.task.Class}, arrived: d.now, deadline: d.now + instant(refusal.Earliest)}
				if err := d.core.explain(d.now, again); err != nil {
					t.Fatalf("seed %d: %q of class %v was offered %v, which is refused: %v", seed, it.task.Model, it.task.Class, refusal.Earliest, err)
				}
			}
		}
		if offered < 30 || withheld > 0 {
			t.Errorf("room %d: %d offers and %d without: the test does not test", beyond, offered, withheld)
		}
	}
}

// TestCore_OffersToSomeOnly: of very many that lose hope together, few cost a search.
func TestCore_OffersToSomeOnly(t *testing.T) {
	d := newDrive(t, 1, serving("m", 1, ms))
	d.duration = func(*item) (time.Duration, error) { return time.Minute, errTeachesNothing }
	d.mustSubmit("stuck", "m", edge.Normal, 2*time.Second)
	for i := range 400 {
		d.mustSubmit(fmt.Sprint(i), "m", edge.Batch, time.Second)
	}
	d.run()
	offers := 0
	for _, it := range d.ended {
		if refusal, is := edge.AsRefusal(it.settlement.Err); is && refusal.Earliest > 0 {
			offers++
		}
	}
	if got := d.count(edge.Evicted); got != 400 || offers != mostOffers {
		t.Errorf("%d of %d evicted were offered a deadline, want %d of 400", offers, got, mostOffers)
	}
}

func TestCore_SaysWhyItGaveWay(t *testing.T) {
	yes := true
	firmNormal := map[edge.Class]ClassRule{edge.Normal: {Firm: &yes}}
	shares := map[string]TenantRule{"vision": {CPU: 0.01}, "audio": {CPU: 1.5}}
	for name, test := range map[string]struct {
		rules    Rules
		mine     edge.Class
		other    edge.Class
		otherAsk string
		want     string
	}{
		"Class":  {Rules{}, edge.Batch, edge.Normal, "n", `gave way to a task of class normal for "n": not all that waits can be in time, and normal tasks go before batch tasks`},
		"Firm":   {Rules{Classes: firmNormal}, edge.Batch, edge.Urgent, "n", `gave way to a task of class urgent for "n": not all that waits can be in time, and urgent tasks go before batch tasks`},
		"Longer": {Rules{}, edge.Normal, edge.Normal, "n", `gave way to a task of class normal for "n": not all that waits can be in time, and it takes longer: 40ms`},
		"Share":  {Rules{Tenants: shares}, edge.Normal, edge.Normal, "n", `gave way to a task of class normal for "n": not all that waits can be in time, and ` + outsideShare},
	} {
		for _, room := range []int{0, 4} {
			t.Run(fmt.Sprint(name, room), func(t *testing.T) {
				d := newSuspendingDrive(t, 1, room, serving("m", 9, 40*ms), serving("n", 9, 20*ms))
				d.govern(test.rules)
				d.tenant = "vision"
				d.duration = func(*item) (time.Duration, error) { return 2 * time.Second, errTeachesNothing }
				d.at(0, func(instant) { d.mustSubmit("stuck", "n", edge.Urgent, 25*ms) }) // for a busy node
				d.at(1500*ms, func(instant) {
					d.duration = func(it *item) (time.Duration, error) { return it.size.figure.plan, errTeachesNothing }
				})
				d.at(2100*ms, func(instant) {
					d.tenant = "audio"
					d.mustSubmit("runs", "n", edge.Urgent, 40*ms)
					d.tenant = "vision"
					mine := d.mustSubmit("mine", "m", test.mine, 70*ms)
					d.tenant = "audio"
					d.mustSubmit("other", test.otherAsk, test.other, 65*ms)
					assertOutcome(t, mine, edge.Evicted)
					refusal := assertRefused(t, mine.settlement.Err, edge.ReasonDeadlineUnreachable)
					if refusal.Detail != test.want {
						t.Errorf("told\n%s, want\n%s", refusal.Detail, test.want)
					}
					if refusal.Earliest != 80*ms && refusal.Earliest.Round(ms) != 80*ms || refusal.RetryAfter.Round(ms) != 10*ms {
						t.Errorf("offered %v, or the same in %v; want 80ms and 10ms", refusal.Earliest, refusal.RetryAfter)
					}
				})
				d.run()
				if strings.Contains(d.log.String(), "audio") {
					t.Errorf("a tenant is told of another:\n%s", &d.log)
				}
			})
		}
	}
}
