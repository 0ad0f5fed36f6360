package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/edge"
)

// ModelEstimates is what was learnt of one model: plain data, to be kept across restarts. At most 1 KiB
// as JSON.
type ModelEstimates struct {
	Model   string          `json:"model"`
	Fastest time.Duration   `json:"fastestNs"` // of all runs ever
	Runs    []time.Duration `json:"runsNs"`    // the latest of inputs of any size, oldest first; at most KeptRuns
}

const (
	// KeptRuns is how many runs of a model are kept: enough for a p90 that holds, and few enough that the
	// node soon goes by what it sees after the restart.
	KeptRuns = 32
	// KeptModels is how many models are taken back at most.
	KeptModels = 256
	// longestName bounds what a file of estimates may have the scheduler remember.
	longestName = 256
)

// Estimates is what has been learnt of the models, to be handed to Options.Estimates of the next run. Models without
// runs are not among them.
func (s *Scheduler) Estimates() []ModelEstimates {
	var kept []ModelEstimates
	if s.tell(func(instant) { kept = s.core.estimates() }) {
		return kept
	}
	return *s.lastEstimates.Load()
}

// estimates are in the order of names.
func (c *core) estimates() []ModelEstimates {
	kept := []ModelEstimates{}
	for _, m := range c.models {
		if n := m.runs.count; n > 0 {
			runs := slices.Clone(m.runs.runs[max(n-KeptRuns, 0):n])
			kept = append(kept, ModelEstimates{Model: m.name, Fastest: m.fastest, Runs: runs})
		}
	}
	slices.SortFunc(kept, func(a, b ModelEstimates) int {
		if a.Model < b.Model {
			return -1
		}
		return 1
	})
	return kept
}

// CheckEstimates divides what was kept into what can be believed and why the rest cannot: errors that
// wrap edge.ErrInvalid, joined.
func CheckEstimates(kept []ModelEstimates) (good []ModelEstimates, err error) {
	var wrong []error
	seen := map[string]bool{}
	for _, m := range kept {
		why := m.wrong()
		switch {
		case why != "":
		case seen[m.Model]:
			why = "it is there twice"
		case len(good) == KeptModels:
			why = fmt.Sprintf("there are more than %d", KeptModels)
		}
		if why != "" {
			wrong = append(wrong, fmt.Errorf("cannot take estimates of model %.100q: %s: %w", m.Model, why, edge.ErrInvalid))
			continue
		}
		seen[m.Model] = true
		good = append(good, m)
	}
	return good, errors.Join(wrong...)
}

// wrong says why the estimates cannot be believed; nothing when they can.
func (m *ModelEstimates) wrong() string {
	if m.Model == "" || len(m.Model) > longestName {
		return fmt.Sprintf("its name has %d bytes", len(m.Model))
	}
	if len(m.Runs) == 0 || len(m.Runs) > KeptRuns {
		return fmt.Sprintf("it has %d runs, and not 1 to %d", len(m.Runs), KeptRuns)
	}
	for _, run := range append([]time.Duration{m.Fastest}, m.Runs...) {
		if run < minCost || run > maxCost {
			return fmt.Sprintf("a run of %v is not between %v and %v", run, minCost, maxCost)
		}
	}
	if m.Fastest > slices.Min(m.Runs) {
		return fmt.Sprintf("its fastest run of %v was slower than one of %v", m.Fastest, slices.Min(m.Runs))
	}
	return ""
}

// remember takes in what was learnt before. It counts like the latest runs, is forgotten as these are, and may be doubted
// at once: the machine may have changed.
func (c *core) remember(kept []ModelEstimates) {
	for _, k := range kept {
		m := &model{name: k.Model, fallback: c.fallback, fastest: k.Fastest}
		for _, run := range k.Runs {
			m.runs.add(run)
		}
		m.refresh()
		c.models[m.name] = m
	}
}
