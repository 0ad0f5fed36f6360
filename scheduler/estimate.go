package scheduler

import (
	"math/bits"
	"slices"
	"time"
)

const (
	// windowRuns is how many runs a figure looks back on: enough for a p90, few
	// enough to follow a machine that gets hot and slow within a minute.
	windowRuns = 64
	// sizeRuns is how many runs inputs of one size need before they are judged by
	// themselves instead of with all others.
	sizeRuns = 4
	// sizeCount covers inputs up to 4^15 bytes = 1 GiB; the last holds what is larger.
	sizeCount = 16
	// trialPause is how long no run of a model may have been as slow as its figures say before
	// these are doubted, and the first pause after a trial that failed; it doubles up to
	// maxTrialPause. A hiccup of the machine so closes a model for a second or two,
	// and a wish that only a lucky run could meet costs one try in half a minute.
	trialPause    = instant(time.Second)
	maxTrialPause = 30 * trialPause
	// minCost and maxCost bound every figure. Starting a task costs some
	// microseconds itself; the upper one keeps sums far from overflow.
	minCost = time.Microsecond
	maxCost = 24 * time.Hour
)

// window is the last runs of something, with their quantiles at hand.
type window struct {
	runs   [windowRuns]time.Duration // oldest first
	sorted [windowRuns]time.Duration
	count  int
}

// add counts a run in, and the oldest out when the window is full.
func (w *window) add(run time.Duration) {
	run = min(max(run, minCost), maxCost)
	if w.count == windowRuns {
		w.drop(0)
	}
	w.runs[w.count] = run
	at, _ := slices.BinarySearch(w.sorted[:w.count], run)
	copy(w.sorted[at+1:w.count+1], w.sorted[at:w.count])
	w.sorted[at] = run
	w.count++
}

// drop takes out the run at index i, in order of age.
func (w *window) drop(i int) {
	run := w.runs[i]
	copy(w.runs[i:], w.runs[i+1:w.count])
	at, _ := slices.BinarySearch(w.sorted[:w.count], run)
	copy(w.sorted[at:], w.sorted[at+1:w.count])
	w.count--
}

// forgetSlow takes out the longer half of the runs.
func (w *window) forgetSlow() {
	for range w.count / 2 {
		w.drop(slices.Index(w.runs[:w.count], w.sorted[w.count-1]))
	}
}

// quantile is the run that percent of all runs do not exceed, by nearest rank.
func (w *window) quantile(percent int) time.Duration {
	rank := (w.count*percent + 99) / 100
	return w.sorted[max(rank, 1)-1]
}

// usual is the longest run that others bear out: none of the slowest twentieth, unless it is no more than
// half again as long as the next before it. A model's own spread is so counted in full, and a few runs that fell into a hiccup
// of the machine are not.
func (w *window) usual() time.Duration {
	at := w.count - 1
	if w.count >= sizeRuns {
		at -= (w.count + 19) / 20
	}
	usual := w.sorted[at]
	for at++; at < w.count && w.sorted[at] <= usual*3/2; at++ {
		usual = w.sorted[at]
	}
	return usual
}

// figure is what the plan counts with.
type figure struct {
	plan   time.Duration // p90
	firm   time.Duration // the larger of the longest usual run and 1.3 × median, for promises that hold
	tail   time.Duration // p99, where a run past its estimate is next expected to end
	source string        // for people: where the figures come from
}

// cost is the service time to count: the careful figure for tasks whose promise is firm.
func (f *figure) cost(firm bool) time.Duration {
	if firm {
		return f.firm
	}
	return f.plan
}

func declaredFigure(cost time.Duration, source string) figure {
	cost = min(max(cost, minCost), maxCost)
	return figure{plan: cost, firm: cost, tail: cost, source: source}
}

func (w *window) figure() figure {
	firm := min(max(w.usual(), w.quantile(50)*13/10), maxCost)
	return figure{plan: w.quantile(90), firm: firm, tail: w.quantile(99), source: "measured"}
}

// size is a model with inputs of one order of magnitude.
type size struct {
	runs    window
	figure  figure
	pool    *pool // the model's, nil while nothing serves it; here to spare the walk a step
	smaller *size // the same of the model that may answer in its place; nil where none may
	doubt   bool  // one trial's own: the model's figures are in question
	model   *model
}

// least is the shortest the plan can count, by a smaller variant if need be.
func (s *size) least() time.Duration {
	least := s.figure.plan
	for s = s.smaller; s != nil; s = s.smaller {
		least = min(least, s.figure.plan)
	}
	return least
}

// model is what is known about one model. It outlives its pool: figures are
// worth keeping while a workload is replaced.
type model struct {
	name     string
	pool     *pool
	smaller  *model // the next smaller one that may answer in its place, in the same pool
	declared time.Duration
	fallback time.Duration
	runs     window // of all sizes
	figure   figure
	sizes    [sizeCount]*size // made when the first input of the size comes
	fastest  time.Duration    // of all runs ever; 0 before the first
	bias     bias
	trialAt  instant // no trial before
	pause    instant // after the trial that failed last
}

// sized is the model's entry for inputs of so many bytes. Sizes are powers of
// four: finer ones would starve, coarser ones would mix a thumbnail and a page.
func (m *model) sized(bytes int) *size {
	return m.at(min((bits.Len(uint(bytes))+1)/2, sizeCount-1))
}

func (m *model) at(i int) *size {
	if m.sizes[i] == nil {
		m.sizes[i] = &size{model: m}
		m.refresh()
		m.link()
	}
	return m.sizes[i]
}

// link points each size to the same of the next smaller model.
func (m *model) link() {
	for i, s := range m.sizes {
		if s == nil {
			continue
		}
		if s.smaller = nil; m.smaller != nil {
			s.smaller = m.smaller.at(i)
		}
	}
}

// learn takes the duration of a finished run in.
func (m *model) learn(now instant, s *size, run time.Duration) {
	m.runs.add(run)
	s.runs.add(run)
	if m.fastest == 0 || run < m.fastest {
		m.fastest = run
	}
	if run >= s.figure.firm*3/4 { // as slow as it is thought to be
		m.trialAt = max(m.trialAt, now+trialPause)
	}
	m.refresh()
}

// doubted is what a trial is counted with that has only left: what half of the runs do not exceed; all of that
// where there was no run.
func (s *size) doubted(left time.Duration) *size {
	runs, half := &s.model.runs, left
	if s.runs.count >= sizeRuns {
		runs = &s.runs
	}
	if runs.count > 0 {
		half = min(runs.quantile(50), left)
	}
	return &size{figure: declaredFigure(half, "doubted"), model: s.model, pool: s.pool, doubt: true}
}

// mayTry tells whether a task that has only left may be let in against the
// figures, to see whether they hold: when no run of late was as slow as they say, and
// the model has been fast enough before, or was said to be. Without it a hiccup of
// the machine could close a model for good, for what is never let in is never
// measured again. So could a cost that somebody has declared too high, or that is assumed
// where nobody has: it is believed at first, and doubted when it has kept tasks out for a while without a run.
func (m *model) mayTry(now instant, left time.Duration) bool {
	if m.runs.count == 0 {
		if m.trialAt == 0 {
			m.trialAt = now + trialPause
		}
		return now >= m.trialAt
	}
	said := m.declared
	if said == 0 {
		said = m.fallback
	}
	return min(m.fastest, said) <= left && now >= m.trialAt
}

// try begins a trial; there is one at a time.
func (m *model) try() { m.trialAt = forever }

// untried ends a trial that never ran.
func (m *model) untried(now instant) { m.trialAt = now + trialPause }

// tried ends a trial. One that was fast enough speaks for the faster half of the runs
// before it; the next may follow at once, so that the figures recover in a few.
func (m *model) tried(now instant, s *size, fast bool) {
	if !fast {
		m.pause = min(max(2*m.pause, trialPause), maxTrialPause)
		m.trialAt = now + m.pause
		return
	}
	m.runs.forgetSlow()
	s.runs.forgetSlow()
	m.pause, m.trialAt = 0, now
	m.refresh()
}

// bias compares what runs took with what the plan counted with, the latest windowRuns of them most.
type bias struct{ took, foretold float64 }

func (b *bias) add(took, foretold time.Duration) {
	const kept = 1 - 1.0/windowRuns
	b.took = b.took*kept + float64(min(max(took, minCost), maxCost))
	b.foretold = b.foretold*kept + float64(foretold)
}

// ratio is 0 before the first run.
func (b *bias) ratio() float64 {
	if b.foretold == 0 {
		return 0
	}
	return b.took / b.foretold
}

// refresh works the figures out anew after anything they rest on changed.
func (m *model) refresh() {
	switch {
	case m.runs.count > 0:
		m.figure = m.runs.figure()
	case m.declared > 0:
		m.figure = declaredFigure(m.declared, "declared")
	default:
		m.figure = declaredFigure(m.fallback, "assumed")
	}
	for _, s := range m.sizes {
		if s == nil {
			continue
		}
		s.pool, s.figure = m.pool, m.figure
		if s.runs.count >= sizeRuns {
			s.figure = s.runs.figure()
		}
	}
}
