package agent

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
)

// unwellNode is a wellness whose vitals and policy are knobs.
type unwellNode struct {
	*wellness
	shown *warnings

	knobs   sync.Mutex // guards the rest
	vitals  edge.Vitals
	policy  edge.HealthPolicy
	changes []bool
}

// turn changes what the node is like, or wants.
func (n *unwellNode) turn(change func()) {
	n.knobs.Lock()
	defer n.knobs.Unlock()
	change()
}

func watchHealth(t *testing.T, of func(*unwellNode)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &unwellNode{shown: newWarnings(newChronicle(slog.New(slog.DiscardHandler)))}
		n.policy.WarnBelow = 60
		n.vitals = edge.Vitals{CPU: .1, MemoryTotal: 100, MemoryUsed: 20}
		n.wellness = &wellness{
			vitals:   func() (v edge.Vitals) { n.turn(func() { v = n.vitals }); return v },
			policy:   func() (p edge.HealthPolicy) { n.turn(func() { p = n.policy }); return p },
			warnings: n.shown, changed: func(unwell bool) { n.turn(func() { n.changes = append(n.changes, unwell) }) },
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		synctest.Wait()
		of(n)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// pass lets seconds go by, in each of which the tasks end like that.
func (n *unwellNode) pass(seconds int, outcomes ...edge.Outcome) {
	for range seconds {
		for _, outcome := range outcomes {
			n.Settled(edge.Settlement{Outcome: outcome, Queue: 50 * time.Millisecond, Compute: 150 * time.Millisecond})
		}
		time.Sleep(healthEvery)
		synctest.Wait()
	}
}

func TestHealth_Score(t *testing.T) {
	for name, c := range map[string]struct {
		cpu      float64
		outcomes []edge.Outcome
		weights  *edge.HealthWeights
		score    float64
	}{
		"Idle":         {score: 100 - .3*20},
		"Busy":         {cpu: 1, score: 100 - 40 - .3*20},
		"Answers":      {outcomes: []edge.Outcome{edge.Completed}, score: 100 - .3*20 - 2},
		"HalfFail":     {outcomes: []edge.Outcome{edge.Completed, edge.Failed}, score: 0},
		"NoneLetIn":    {outcomes: []edge.Outcome{edge.Refused, edge.Evicted, edge.Cancelled}, score: 100 - .3*20},
		"ByThePolicy":  {cpu: 1, weights: &edge.HealthWeights{CPU: .1, ErrorRate: 1}, score: 90},
		"LateCountsTo": {outcomes: []edge.Outcome{edge.Completed, edge.Completed, edge.Completed, edge.Missed}, weights: &edge.HealthWeights{ErrorRate: 1}, score: 75},
	} {
		t.Run(name, func(t *testing.T) {
			watchHealth(t, func(n *unwellNode) {
				n.turn(func() { n.vitals.CPU, n.policy.Weights = c.cpu, c.weights })
				n.pass(3, c.outcomes...)
				if got := n.Report().Score; got < c.score-.01 || got > c.score+.01 {
					t.Errorf("score = %v, want %v: %+v", got, c.score, n.Report())
				}
			})
		})
	}
}

func TestHealth_Warns(t *testing.T) {
	watchHealth(t, func(n *unwellNode) {
		n.turn(func() { n.vitals.CPU, n.vitals.MemoryUsed = 1, 90 })
		n.pass(looksTillLow - 1)
		if n.Report().Low || len(n.shown.All()) > 0 {
			t.Error("a few seconds make it unwell")
		}
		n.pass(2)
		all := n.shown.All()
		if !n.Report().Low || len(all) != 1 || all[0].Code != codeHealthLow || !strings.Contains(all[0].Detail, "cpu 100 %") {
			t.Fatalf("report %+v, warnings %+v", n.Report(), all)
		}
		n.turn(func() { n.vitals.MemoryUsed = 0 }) // 60 of 100: not well above the bound
		n.pass(2 * looksTillWell)
		if after := n.shown.All(); len(after) != 1 || after[0].Detail != all[0].Detail {
			t.Errorf("the warning is %+v, want it as it was", after)
		}
		n.turn(func() { n.vitals.CPU = 0 })
		n.pass(looksTillWell + 1)
		if n.Report().Low || len(n.shown.All()) > 0 || len(n.changes) != 2 || !n.changes[0] || n.changes[1] {
			t.Errorf("report %+v, warnings %+v, changes %v", n.Report(), n.shown.All(), n.changes)
		}
	})
}

// TestHealth_Forgets counts the tasks of the last half minute only.
func TestHealth_Forgets(t *testing.T) {
	watchHealth(t, func(n *unwellNode) {
		n.pass(1, edge.Failed)
		n.pass(healthWindow - 2)
		if n.Report().ErrorRate != 100 {
			t.Errorf("report %+v", n.Report())
		}
		n.pass(2)
		if n.Report().ErrorRate != 0 {
			t.Errorf("report %+v after half a minute", n.Report())
		}
	})
}

// TestHealth_WithoutABound: a policy that says nothing wants nothing, and may cease to.
func TestHealth_WithoutABound(t *testing.T) {
	watchHealth(t, func(n *unwellNode) {
		n.turn(func() { n.vitals.CPU, n.vitals.MemoryUsed = 1, 100 })
		n.pass(2 * looksTillLow)
		n.turn(func() { n.policy = edge.HealthPolicy{} })
		n.pass(2)
		if n.Report().Low || len(n.shown.All()) > 0 || len(n.changes) != 2 {
			t.Errorf("report %+v, warnings %+v, changes %v", n.Report(), n.shown.All(), n.changes)
		}
		n.pass(2 * looksTillLow)
		if n.Report().Low || n.Report().Score != 30 {
			t.Errorf("report %+v", n.Report())
		}
	})
}
