package browser_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"holdfast/edge"
)

// load is what a class of tasks asks of the played node.
type load struct {
	model    string
	rate     float64 // tasks a second
	service  time.Duration
	deadline time.Duration
	fail     float64 // share that the model answers with an error
	late     float64 // share that takes three times its deadline
}

// job is one task inside.
type job struct {
	view  edge.TaskView
	class edge.Class
	left  time.Duration // of its work
	since time.Time     // of the stretch it runs in
}

// sim plays slots and queues, earliest deadline first; urgent tasks halt batch ones. It
// is moved on to an instant and remembers what became of everything.
type sim struct {
	rng    *rand.Rand
	slots  int
	loads  [3]load
	now    time.Time
	next   [3]time.Time
	count  uint64
	run    []*job // by slot; nil: free
	queue  []*job
	halted []*job

	submitted [3]uint64
	settled   [3]map[string]uint64
	ended     []edge.TaskView // the latest 400
	endedAll  uint64
	changes   uint64
}

func newSim(start time.Time, slots int, loads [3]load) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(7, 11)), slots: slots, loads: loads, now: start, run: make([]*job, slots)}
	for c := range s.settled {
		s.settled[c] = map[string]uint64{}
		s.next[c] = start.Add(s.gap(edge.Class(c)))
	}
	return s
}

// change has other tasks come from now on.
func (s *sim) change(loads [3]load) {
	s.loads = loads
	for c := range loads {
		s.next[c] = s.now.Add(s.gap(edge.Class(c)))
	}
}

// gap is the time to the next task of a class: drawn, so that they come in bunches.
func (s *sim) gap(c edge.Class) time.Duration {
	rate := s.loads[c].rate
	if rate <= 0 {
		return 1000 * time.Hour
	}
	return time.Duration(min(6, s.rng.ExpFloat64()) / rate * float64(time.Second))
}

// advance plays on.
func (s *sim) advance(to time.Time) {
	for {
		at, what := s.soonest()
		if at.After(to) {
			break
		}
		s.now = at
		what()
	}
	s.now = to
}

// soonest is what happens next.
func (s *sim) soonest() (time.Time, func()) {
	class := edge.Urgent
	for _, c := range edge.Classes {
		if s.next[c].Before(s.next[class]) {
			class = c
		}
	}
	at, what := s.next[class], func() { s.arrive(class) }
	for slot, j := range s.run {
		if j != nil && j.since.Add(j.left).Before(at) {
			at, what = j.since.Add(j.left), func() { s.finish(slot) }
		}
	}
	return at, what
}

func (s *sim) arrive(c edge.Class) {
	l := s.loads[c]
	s.next[c] = s.now.Add(s.gap(c))
	s.count++
	s.changes++
	s.submitted[c]++
	work := time.Duration(float64(l.service) * (0.7 + 0.6*s.rng.Float64()))
	if s.rng.Float64() < l.late {
		work = 3 * l.deadline
	}
	j := &job{class: c, left: work, view: edge.TaskView{
		ID: fmt.Sprintf("t-%d", s.count), Model: l.model, Class: c, State: "waiting",
		Arrived: s.now, Deadline: s.now.Add(l.deadline), Estimate: l.service,
	}}
	if 5*s.backlog(c)/4+2*l.service > l.deadline {
		s.end(j, edge.Refused)
		return
	}
	s.queue = append(s.queue, j)
	s.fill()
	if c == edge.Urgent {
		s.preempt()
	}
}

// backlog is how long a task of a class would wait.
func (s *sim) backlog(c edge.Class) (sum time.Duration) {
	for _, j := range s.queue {
		if j.class <= c {
			sum += j.left
		}
	}
	for _, j := range s.run {
		if j != nil && j.class <= c {
			sum += max(0, j.left-s.now.Sub(j.since))
		}
	}
	return sum / time.Duration(s.slots)
}

// fill gives free slots to what presses most.
func (s *sim) fill() {
	for slot := range s.run {
		for s.run[slot] == nil {
			j := s.pick()
			if j == nil {
				return
			}
			s.start(j, slot)
		}
	}
}

func (s *sim) pick() *job {
	presses := func(a, b *job) int {
		return cmp.Or(cmp.Compare(a.class, b.class), a.view.Deadline.Compare(b.view.Deadline))
	}
	all := append(slices.Clone(s.queue), s.halted...)
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(s.queue, presses)
	j := slices.MinFunc(all, presses)
	is := func(other *job) bool { return other == j }
	s.queue, s.halted = slices.DeleteFunc(s.queue, is), slices.DeleteFunc(s.halted, is)
	return j
}

func (s *sim) start(j *job, slot int) {
	s.changes++
	if j.view.Started.IsZero() {
		j.view.Started, j.view.Queue = s.now, s.now.Sub(j.view.Arrived)
	}
	j.since, j.view.State, j.view.Slot = s.now, "running", edge.SlotAt(slot)
	s.run[slot] = j
}

// preempt halts what can wait best in favour of an urgent task that does.
func (s *sim) preempt() {
	if !slices.ContainsFunc(s.queue, func(j *job) bool { return j.class == edge.Urgent }) {
		return
	}
	for _, slot := range s.yielding() {
		j := s.run[slot]
		if j.class == edge.Urgent {
			continue
		}
		j.left -= s.now.Sub(j.since)
		j.view.State = "suspended"
		s.halted = append(s.halted, j)
		s.run[slot] = nil
		s.fill()
		return
	}
}

// yielding lists the slots, the one first whose deadline is farthest.
func (s *sim) yielding() []int {
	var slots []int
	for slot, j := range s.run {
		if j != nil {
			slots = append(slots, slot)
		}
	}
	slices.SortFunc(slots, func(a, b int) int { return s.run[b].view.Deadline.Compare(s.run[a].view.Deadline) })
	return slots
}

func (s *sim) finish(slot int) {
	j := s.run[slot]
	s.run[slot] = nil
	outcome := edge.Completed
	switch {
	case s.now.After(j.view.Deadline):
		outcome = edge.Missed
	case s.rng.Float64() < s.loads[j.class].fail:
		outcome = edge.Failed
	}
	s.end(j, outcome)
	s.fill()
}

func (s *sim) end(j *job, outcome edge.Outcome) {
	s.changes++
	s.endedAll++
	s.settled[j.class][outcome.String()]++
	j.view.State = outcome.String()
	j.view.Slack = j.view.Deadline.Sub(s.now)
	if j.view.Started.IsZero() {
		j.view.Queue = s.now.Sub(j.view.Arrived)
	} else {
		j.view.Compute = s.now.Sub(j.view.Started)
	}
	s.ended = append(s.ended, j.view)
	if len(s.ended) > 400 {
		s.ended = slices.Delete(s.ended, 0, len(s.ended)-300)
	}
}

// inside lists what runs or is suspended.
func (s *sim) inside() []edge.TaskView {
	views := []edge.TaskView{}
	for _, j := range append(slices.Clone(s.run), s.halted...) {
		if j != nil {
			views = append(views, j.view)
		}
	}
	return views
}

func (s *sim) waiting(c edge.Class) (n int) {
	for _, j := range s.queue {
		if j.class == c {
			n++
		}
	}
	return n
}

func (s *sim) endedOf(c edge.Class) edge.EndedCount {
	onTime := s.settled[c][edge.Completed.String()]
	sum := onTime
	for _, o := range []edge.Outcome{edge.Missed, edge.Refused, edge.Evicted, edge.Failed} {
		sum += s.settled[c][o.String()]
	}
	away := s.settled[c][edge.Refused.String()] + s.settled[c][edge.Evicted.String()]
	return edge.EndedCount{onTime, sum, away, s.settled[c][edge.Missed.String()]}
}
