package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/edge"
)

const codeHealthLow = "health-low"

const (
	// healthEvery is how often the score is taken, and healthWindow how many of the latest
	// seconds' tasks count.
	healthEvery  = time.Second
	healthWindow = 30
	// The score must be low for so many looks in a row before it counts as low, and well above
	// the bound for so many before it does not: what comes and goes within seconds is no news.
	looksTillLow  = 5
	looksTillWell = 15
	wellAbove     = 5
)

// wellness watches how well the node is.
type wellness struct {
	vitals   func() edge.Vitals
	policy   func() edge.HealthPolicy
	warnings interface {
		Raise(edge.Warning)
		Clear(code, subject string)
	}
	changed func(unwell bool)

	mu     sync.Mutex // guards the rest
	tasks  [healthWindow]taskSums
	at     int // in tasks, where this second's are counted
	report edge.HealthReport
	looks  int // in a row that say otherwise than report.Low
}

// taskSums is what became of tasks that were let in, in one second.
type taskSums struct {
	ended, unwell, answered int
	took                    time.Duration
}

// Settled counts a task. It is called on the scheduler's loop.
func (w *wellness) Settled(s edge.Settlement) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sums := &w.tasks[w.at]
	switch s.Outcome {
	case edge.Completed:
		sums.answered++
		sums.took += s.Queue + s.Compute
	case edge.Failed, edge.Missed:
		sums.unwell++
	default: // it was not let in, or was given up
		return
	}
	sums.ended++
}

// Report is how well the node was when it was looked at last.
func (w *wellness) Report() edge.HealthReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.report
}

// Run looks once a second until ctx ends.
func (w *wellness) Run(ctx context.Context) error {
	ticker := time.NewTicker(healthEvery)
	defer ticker.Stop()
	for {
		w.look()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (w *wellness) look() {
	policy, vitals := w.policy(), w.vitals()
	w.mu.Lock()
	was, low := w.report.Low, w.report.Low
	report := w.measureLocked(policy, vitals)
	if w.crossesLocked(policy, report.Score) {
		low = !was
	}
	report.Low = low
	w.report = report
	w.mu.Unlock()
	if low == was {
		return // the words of a warning that stands stay: the fleet is told each change
	}
	if low {
		w.warn(policy, report)
	} else {
		w.warnings.Clear(codeHealthLow, "node")
	}
	w.changed(low)
}

// measureLocked takes the score, and begins the next second.
func (w *wellness) measureLocked(policy edge.HealthPolicy, v edge.Vitals) edge.HealthReport {
	var all taskSums
	for _, s := range w.tasks {
		all.ended, all.unwell, all.answered, all.took = all.ended+s.ended, all.unwell+s.unwell, all.answered+s.answered, all.took+s.took
	}
	w.at = (w.at + 1) % healthWindow
	w.tasks[w.at] = taskSums{}
	r := edge.HealthReport{CPU: 100 * v.CPU}
	if v.MemoryTotal > 0 {
		r.Memory = 100 * float64(v.MemoryUsed) / float64(v.MemoryTotal)
	}
	if all.ended > 0 {
		r.ErrorRate = 100 * float64(all.unwell) / float64(all.ended)
	}
	if all.answered > 0 {
		r.Latency = all.took / time.Duration(all.answered)
	}
	policy.Weigh(&r)
	return r
}

// crossesLocked tells whether the score has been on the other side of the policy's bound for
// long enough. Without a bound none is too low.
func (w *wellness) crossesLocked(policy edge.HealthPolicy, score float64) bool {
	bound, enough, other := policy.WarnBelow, looksTillLow, score < policy.WarnBelow
	if w.report.Low {
		enough, other = looksTillWell, score >= min(bound+wellAbove, 100)
	}
	if bound == 0 {
		enough, other = 1, w.report.Low
	}
	if !other {
		w.looks = 0
		return false
	}
	if w.looks++; w.looks < enough {
		return false
	}
	w.looks = 0
	return true
}

func (w *wellness) warn(policy edge.HealthPolicy, r edge.HealthReport) {
	w.warnings.Raise(edge.Warning{
		Code: codeHealthLow, Subject: "node",
		Detail: fmt.Sprintf("its health is %.0f of 100, and the policy wants %.0f: cpu %.0f %%, memory %.0f %%, %.1f %% of tasks failed or late, %v each",
			r.Score, policy.WarnBelow, r.CPU, r.Memory, r.ErrorRate, r.Latency.Round(time.Millisecond)),
		Remedy: "see holdfast tasks and holdfast workloads for what takes the most; health.variants has smaller variants answer meanwhile",
	})
}

// newWellness watches the node as its policy says.
func (a *Agent) newWellness() *wellness {
	return &wellness{
		vitals: a.vitals.Vitals, warnings: a.warnings, changed: func(unwell bool) { a.partition.feel(unwell) },
		policy: func() edge.HealthPolicy {
			if p := a.policy(); p != nil {
				return p.Health
			}
			return edge.HealthPolicy{}
		},
	}
}
