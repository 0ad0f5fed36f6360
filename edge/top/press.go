package top

// page is how far a page key goes, in lines: less than the smallest screen that shows a list.
const page = 8

// press is the state after a key.
func (s State) press(k Key) (State, Wish) {
	switch k {
	case KeyQuit, KeyInterrupt:
		return s, Wish{Quit: true}
	case KeyHelp:
		s.help = !s.help
	case KeyPause:
		return s.pause(), Wish{}
	case KeyEscape:
		return s.back()
	case KeyNext:
		return s.turn(1)
	case KeyBefore:
		return s.turn(-1)
	case KeyLogs:
		return s.openLogs()
	default:
		if by, moves := steps[k]; moves {
			return s.move(by), Wish{}
		}
	}
	return s, Wish{}
}

// steps are the keys that go through a list.
var steps = map[Key]int{
	KeyUp: -1, KeyDown: 1, KeyPageUp: -page, KeyPageDown: page, KeyHome: -farthest, KeyEnd: farthest,
}

// farthest is beyond every list.
const farthest = 1 << 20

func (s State) pause() State {
	if s.frozen != nil {
		s.frozen = nil
		return s
	}
	now := s.live
	s.frozen = &now
	return s
}

// back closes what lies over the view.
func (s State) back() (State, Wish) {
	switch {
	case s.help:
		s.help = false
	case s.view == LogsView:
		s.view = WorkloadsView
		return s.forgetLogs(), Wish{EndLogs: true}
	}
	return s, Wish{}
}

func (s State) turn(by View) (State, Wish) {
	s.help = false
	if s.view == LogsView {
		s.view = WorkloadsView
		return s.forgetLogs(), Wish{EndLogs: true}
	}
	s.view = (s.view + by + views) % views
	return s, Wish{}
}

// move goes through the list of the view; of the logs, up is towards what is older.
func (s State) move(by int) State {
	switch s.view {
	case WorkloadsView:
		s.chosen = within(s.chosen+by, len(s.shown().status.Workloads))
	case LogsView:
		s.offset[LogsView] = within(s.offset[LogsView]-by, len(s.log))
	case EventsView:
		s.offset[EventsView] = within(s.offset[EventsView]+by, len(s.shown().events))
	case TasksView:
		s.offset[TasksView] = within(s.offset[TasksView]+by, s.shown().taskCount())
	}
	return s
}

// within is n, or the nearest place in a list of so many.
func within(n, count int) int { return max(0, min(n, count-1)) }

func (s State) openLogs() (State, Wish) {
	workloads := s.shown().status.Workloads
	if len(workloads) == 0 || s.view == LogsView {
		return s, Wish{}
	}
	s = s.forgetLogs()
	s.help, s.view = false, LogsView
	s.logOf = workloads[within(s.chosen, len(workloads))].Workload.Key()
	return s, Wish{OpenLogs: s.logOf}
}

func (s State) forgetLogs() State {
	s.logOf, s.log, s.logEnded, s.logErr, s.offset[LogsView] = "", nil, false, nil, 0
	return s
}

func (p picture) taskCount() int { return len(p.tasks.Running) + len(p.tasks.Waiting) + len(p.ended) }
