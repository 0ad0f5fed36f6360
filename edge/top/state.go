package top

import (
	"slices"
	"time"

	"holdfast/edge"
)

// How much is remembered of what comes.
const (
	keptSamples = 300 // five minutes, as long as an agent's history
	keptEvents  = 200
	keptEnded   = 200
	keptLog     = 2000 // lines
)

// View is one of the pages.
type View int

// The views, in the order of the tab key.
const (
	Overview View = iota
	TasksView
	WorkloadsView
	EventsView
	views // how many there are
	LogsView
)

var viewNames = [...]string{Overview: "overview", TasksView: "tasks", WorkloadsView: "workloads", EventsView: "events", LogsView: "logs"}

// String names the view.
func (v View) String() string { return viewNames[v] }

// picture is what is known of the node.
type picture struct {
	now     time.Time // when this was known
	hello   edge.LiveHello
	status  edge.Status
	known   bool // a status has come
	samples []edge.Sample
	tasks   edge.LiveTasks
	tasksAt time.Time // by our clock
	old     bool      // no more has come since
	ended   []edge.TaskView
	events  []edge.Event
}

// State is all that the screen depends on but its size. The zero value has not heard of the
// agent yet.
type State struct {
	live   picture
	frozen *picture // what is shown while it is paused

	connected bool
	since     time.Time // of being connected, or not
	trouble   error
	restarted time.Time // when an agent was met that is another than before

	view   View
	help   bool
	offset [LogsView + 1]int // lines scrolled, by view
	chosen int               // workload

	logOf    string
	log      []string
	logEnded bool
	logErr   error
}

// Shown is the view on the screen.
func (s State) Shown() View { return s.view }

// LastEvent is the number of the latest event that was seen.
func (s State) LastEvent() uint64 {
	if len(s.live.events) == 0 {
		return 0
	}
	return s.live.events[len(s.live.events)-1].Seq
}

// shown is the picture on the screen.
func (s State) shown() picture {
	if s.frozen != nil {
		return *s.frozen
	}
	return s.live
}

// Update is the state after a message, and what the caller is to do.
func (s State) Update(m Message) (State, Wish) {
	switch m := m.(type) {
	case Key:
		return s.press(m)
	case Tick:
		s.live.now = m.At
	case Gone:
		s = s.lose(m.Err)
	case edge.LiveHello:
		s = s.greet(m)
	case LogText:
		if m.Target == s.logOf {
			s.log = latest(s.log, keptLog, m.Lines...)
		}
	case LogEnded:
		if m.Target == s.logOf {
			s.logEnded, s.logErr = true, m.Err
		}
	default:
		s.live = s.live.take(m)
	}
	return s, Wish{}
}

// take adds what an agent tells.
func (p picture) take(m Message) picture {
	switch m := m.(type) {
	case History:
		p.samples = latest([]edge.Sample(nil), keptSamples, m.Samples...)
	case edge.Sample:
		p.samples = latest(p.samples, keptSamples, m)
	case edge.Status:
		p.status, p.known = m, true
	case edge.LiveTasks:
		p.tasks, p.tasksAt = m, p.now
		p.ended = latest(p.ended, keptEnded, m.Ended...)
	case edge.Event:
		if n := len(p.events); n == 0 || m.Seq > p.events[n-1].Seq {
			p.events = latest(p.events, keptEvents, m)
		}
	}
	return p
}

// latest adds to a list that keeps so many of the latest; the list before stays as it is.
func latest[T any](list []T, most int, more ...T) []T {
	drop := min(len(list), max(0, len(list)+len(more)-most))
	more = more[max(0, len(more)-most):]
	return slices.Concat(list[drop:], more)
}

// lose keeps what was known, and why no more comes.
func (s State) lose(err error) State {
	if s.connected || s.since.IsZero() {
		s.since = s.live.now
	}
	s.connected, s.trouble, s.live.old = false, err, true
	return s
}

// greet notices whether it is the agent of before.
func (s State) greet(h edge.LiveHello) State {
	before := s.live.hello
	if !s.connected {
		s.since = s.live.now
	}
	s.connected, s.trouble, s.live.old = true, nil, false
	s.live.hello = h
	if before.PID == 0 || before.PID == h.PID && before.Started.Equal(h.Started) {
		return s
	}
	s.restarted = s.live.now
	s.live.tasks, s.live.ended = edge.LiveTasks{}, nil
	if h.Seq < s.LastEvent() { // the machine has started anew, and its numbers with it
		s.live.events = nil
	}
	return s
}
