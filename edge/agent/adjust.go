package agent

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"holdfast/edge"
	"holdfast/policycache"
)

// adjustments are what the fleet's commands start, stop and scale: numbers of replicas
// that stand over those of the policy in force. They are kept, so that a workload that
// was stopped stays stopped after a power cut, and they end with the policy they were
// made under: when another one comes into force, and also when the same one does anew.
//
// A nil one adjusts nothing.
type adjustments struct {
	path     string
	warnings *warnings

	writing chan struct{} // capacity 1: one change at a time
	kept    atomic.Pointer[adjusted]
}

// adjusted is what the file holds. Nobody changes one.
type adjusted struct {
	Policy   string         `json:"policyDigest"`
	Since    time.Time      `json:"since"` // that policy came into force
	Replicas map[string]int `json:"replicas"`
}

// tenure is one policy's time in force.
type tenure struct {
	policy string
	since  time.Time
}

func tenureOf(s *policycache.Snapshot) tenure { return tenure{s.Digest, s.Since} }

func (t tenure) is(other tenure) bool {
	return t.policy == other.policy && t.since.Equal(other.since)
}

// codeAdjustments warns that what commands wanted is not known any more.
const codeAdjustments = "adjustments-unreadable"

const adjustedName = "adjusted.json"

func newAdjustments(state string, w *warnings) *adjustments {
	a := &adjustments{
		path: filepath.Join(state, adjustedName), warnings: w,
		writing: make(chan struct{}, 1),
	}
	a.kept.Store(&adjusted{})
	return a
}

// Open reads what was kept. What cannot be read does not count: the policy does, and a
// warning says so.
func (a *adjustments) Open() {
	kept, err := readAdjusted(a.path)
	if err != nil {
		a.warnings.Raise(edge.Warning{
			Code: codeAdjustments, Subject: a.path, Detail: err.Error() + "; every workload runs as the policy says",
			Remedy: "start, stop or scale what shall differ from the policy again",
		})
		return
	}
	a.kept.Store(kept)
}

// of is what stands in a tenure.
func (a *adjustments) of(t tenure) map[string]int {
	if a == nil {
		return nil
	}
	if kept := a.kept.Load(); t.is(tenure{kept.Policy, kept.Since}) {
		return kept.Replicas
	}
	return nil
}

// Over returns the workloads with the replicas that commands want of them.
func (a *adjustments) Over(t tenure, workloads []edge.Workload) []edge.Workload {
	wanted := a.of(t)
	if len(wanted) == 0 {
		return workloads
	}
	workloads = slices.Clone(workloads)
	for i, w := range workloads {
		if n, adjusted := wanted[w.Key()]; adjusted {
			workloads[i].Replicas = n
		}
	}
	return workloads
}

// Replicas is how many a workload is to have.
func (a *adjustments) Replicas(t tenure, w edge.Workload) int {
	if n, adjusted := a.of(t)[w.Key()]; adjusted {
		return n
	}
	return w.Replicas
}

// Adjusted tells whether a command, and not the policy, says how many there are.
func (a *adjustments) Adjusted(t tenure, key string) bool {
	_, adjusted := a.of(t)[key]
	return adjusted
}

// Set makes a workload have n replicas, and returns once that is on flash. As many as
// the policy says are no adjustment.
func (a *adjustments) Set(ctx context.Context, t tenure, w edge.Workload, n int) error {
	select {
	case a.writing <- struct{}{}:
		defer func() { <-a.writing }()
	case <-ctx.Done():
		return fmt.Errorf("cannot adjust workload %q: %w", w.Key(), context.Cause(ctx))
	}
	before := a.of(t)
	replicas := maps.Clone(before)
	if replicas == nil {
		replicas = map[string]int{}
	}
	if replicas[w.Key()] = n; n == w.Replicas {
		delete(replicas, w.Key())
	}
	if maps.Equal(before, replicas) {
		return nil
	}
	next := &adjusted{Policy: t.policy, Since: t.since, Replicas: replicas}
	if err := writeAdjusted(a.path, next); err != nil {
		return edge.WithHint(fmt.Errorf("cannot keep that workload %q is adjusted, so it is not: %w: %w", w.Key(), edge.ErrUnavailable, err),
			"see whether the disk of the state folder is full or damaged: holdfast doctor")
	}
	a.kept.Store(next)
	a.warnings.Clear(codeAdjustments, a.path)
	return nil
}
