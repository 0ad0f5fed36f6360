package runtime

import (
	"context"
	"fmt"
	"testing"

	"holdfast/edge/oip"
)

// sharing is a pool of one instance of the old version and one that is proving.
func sharing(share, lanes int) (p *pool, old, proving *endpoint) {
	p = newPool("line/digits")
	metas := map[string]oip.ModelMetadata{"digits": {Name: "digits"}}
	make := func(id string, lanes int) *endpoint {
		ep := &endpoint{id: id, pool: p}
		for range lanes {
			ep.lanes = append(ep.lanes, &lane{})
		}
		ep.idle = append(ep.idle, ep.lanes...)
		p.join(ep, metas)
		return ep
	}
	old, proving = make("old", lanes), make("new", 1)
	p.probation(proving, true)
	p.tryOut(share, nil)
	return p, old, proving
}

func TestPool_Share(t *testing.T) {
	for _, share := range []int{1, 7, 10, 30, 33, 50} {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			p, _, proving := sharing(share, 1)
			got := 0
			for range 1000 {
				ep, l, err := p.acquire(context.Background(), "digits", false)
				if err != nil {
					t.Fatal(err)
				}
				if ep == proving {
					got++
				}
				p.release(ep, l, outcomeGood)
			}
			if want := share * 10; got != want {
				t.Errorf("got %d of 1000 tasks, want %d", got, want)
			}
		})
	}
	t.Run("BusyIsNotWaitedForNorFlooded", func(t *testing.T) {
		p, old, proving := sharing(50, 20)
		var taken []*endpoint
		for range 20 { // none is given back
			ep, _, err := p.acquire(context.Background(), "digits", false)
			if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, ep)
		}
		if old.busy != 19 || proving.busy != 1 || taken[1] != proving {
			t.Errorf("got %d and %d, want the second task alone to be tried", old.busy, proving.busy)
		}
		p.release(proving, proving.lanes[0], outcomeGood)
		p.release(old, old.lanes[0], outcomeGood)
		p.release(old, old.lanes[1], outcomeGood)
		for i, want := range []*endpoint{proving, old} {
			if ep, _, _ := p.acquire(context.Background(), "digits", false); ep != want {
				t.Errorf("task %d afterwards: got %s, want %s", i, ep.id, want.id)
			}
		}
	})
	t.Run("SparedUnlessItIsAlone", func(t *testing.T) {
		p, old, proving := sharing(50, 1)
		p.credit = 200
		ep, l, _ := p.acquire(context.Background(), "digits", true)
		if ep != old {
			t.Errorf("got %s, want old", ep.id)
		}
		p.release(ep, l, outcomeGood)
		p.withdraw(old)
		if ep, _, _ := p.acquire(context.Background(), "digits", true); ep != proving {
			t.Errorf("alone: got %s, want new", ep.id)
		}
	})
}
