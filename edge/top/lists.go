package top

import (
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/words"
)

// workloadSummary is a line a workload, those that are not well first.
func (p picture) workloadSummary(g glyphs, wide bool) []line {
	lines := []line{p.workloadTitle()}
	var well []line
	for _, v := range p.status.Workloads {
		l := p.workloadLine(g, v, wide)
		if v.OneShot == nil && v.Ready < v.Workload.Replicas || v.Update != nil {
			lines = append(lines, l)
		} else {
			well = append(well, l)
		}
	}
	return append(lines, well...)
}

func (p picture) workloadTitle() line {
	ready := 0
	for _, v := range p.status.Workloads {
		if v.OneShot != nil || v.Ready >= v.Workload.Replicas {
			ready++
		}
	}
	l := textLine(Strong, "workloads")
	l.add(Plain, "  %d of %d as wanted", ready, len(p.status.Workloads))
	return l
}

func (p picture) workloadLine(g glyphs, v edge.WorkloadView, wide bool) line {
	var l line
	name := 26
	if wide {
		name = 40
	}
	l.add(Plain, " ")
	l.column(Plain, name, g.more, v.Workload.Key())
	style, restarts := Good, 0
	for _, i := range v.Instances {
		restarts += i.Restarts
	}
	state := fmt.Sprintf(" %d of %d ready", v.Ready, v.Workload.Replicas)
	switch {
	case v.OneShot != nil:
		state = fmt.Sprintf(" %d warm, %d at work", v.OneShot.Warm, v.OneShot.Busy)
	case v.Ready == 0 && v.Workload.Replicas > 0:
		style = Bad
	case v.Ready < v.Workload.Replicas:
		style = Careful
	}
	l.column(style, 20, g.more, state)
	if restarts > 0 {
		l.add(Careful, "%d restarts  ", restarts)
	}
	if u := v.Update; u != nil {
		l.add(Careful, "update: %s for %s%s", u.Phase, words.Span(max(0, p.agentNow().Sub(u.Since))), because(u.Why))
	} else if d := firstDetail(v); d != "" {
		l.add(Faint, "%s", d)
	}
	return l
}

// firstDetail is why an instance is not ready.
func firstDetail(v edge.WorkloadView) string {
	for _, i := range v.Instances {
		if i.State != edge.InstanceReady && i.Detail != "" {
			return i.Detail
		}
	}
	return ""
}

// window is the part of a list from an offset on that fits.
func window(lines []line, offset, room int) []line {
	offset = max(0, min(offset, len(lines)-max(1, room)))
	return lines[offset:min(len(lines), offset+max(0, room))]
}

// taskLines list what runs, waits, and has ended lately, the newest first.
func (s State) taskLines(look Look, room int) []line {
	p, g := s.shown(), look.glyphs()
	var l line
	l.add(Faint, "%-12s %-9s %-7s %-18s %-9s %s", "TASK", "STATE", "CLASS", "MODEL", "SLACK", "WHY")
	var lines []line
	for _, list := range [][]edge.TaskView{p.tasks.Running, p.tasks.Waiting} {
		for _, t := range list {
			lines = append(lines, p.taskLine(g, t))
		}
	}
	for i := len(p.ended) - 1; i >= 0; i-- {
		lines = append(lines, p.taskLine(g, p.ended[i]))
	}
	if more := p.tasks.WaitingTotal - len(p.tasks.Waiting); more > 0 {
		l.add(Careful, "  and %d more wait", more)
	}
	return append([]line{l}, window(lines, s.offset[TasksView], room-1)...)
}

func (p picture) taskLine(g glyphs, t edge.TaskView) line {
	var l line
	l.column(Faint, 13, g.more, t.ID)
	style := Plain
	switch t.State {
	case edge.Completed.String(), "running":
		style = Good
	case edge.Missed.String(), edge.Failed.String(), edge.Refused.String(), edge.Evicted.String():
		style = Bad
	case "suspended":
		style = Careful
	}
	l.column(style, 10, g.more, t.State)
	l.column(Plain, 8, g.more, t.Class.String())
	l.column(Strong, 18, g.more, t.Model)
	l.add(Plain, " ")
	slack := t.Slack
	if t.State == "running" || t.State == "waiting" || t.State == "suspended" || t.State == "upstream" {
		slack, _ = p.remains(t)
	}
	text := "-"
	if !t.Deadline.IsZero() {
		text = words.Span(slack)
	}
	l.column(Plain, 10, g.more, text)
	l.add(Faint, "%s", t.Reason)
	if t.Route != "" && t.Route != "local" || t.Variant != "" {
		l.add(Faint, "by %s %s", t.Route, t.Variant)
	}
	return l
}

// workloadLines list the workloads with their instances; the chosen one is marked.
func (s State) workloadLines(look Look, room int) []line {
	p, g := s.shown(), look.glyphs()
	chosen, at := within(s.chosen, len(p.status.Workloads)), 0
	var lines []line
	for i, v := range p.status.Workloads {
		l := p.workloadLine(g, v, false)
		if i == chosen {
			at = len(lines)
			l[0] = span{Strong, g.mark}
		}
		lines = append(lines, l)
		for _, instance := range v.Instances {
			lines = append(lines, p.instanceLine(g, instance))
		}
	}
	return append([]line{textLine(Faint, "up and down choose, l shows what it prints")}, window(lines, at-room/3, room-1)...)
}

func (p picture) instanceLine(g glyphs, i edge.InstanceView) line {
	var l line
	l.add(Plain, "   ")
	l.column(Faint, 28, g.more, i.ID)
	style := Plain
	if i.State != edge.InstanceReady {
		style = Careful
	}
	l.column(style, 10, g.more, string(i.State))
	if i.Usage != nil {
		l.add(Plain, "%s  ", words.Size(i.Usage.Memory))
	}
	if !i.Started.IsZero() {
		l.add(Faint, "since %s  ", i.Started.In(p.now.Location()).Format(time.TimeOnly))
	}
	l.add(Faint, "%s", i.Detail)
	return l
}

// eventLines list the events, the newest first.
func (s State) eventLines(room int) []line {
	all := s.shown().lastEvents()
	if len(all) == 0 {
		return []line{textLine(Faint, "nothing has happened")}
	}
	return window(all[1:], s.offset[EventsView], room)
}

// logLines are the end of what a workload printed, or a part further up.
func (s State) logLines(width, room int) []line {
	var lines []line
	for _, text := range s.log {
		lines = append(lines, textLine(Plain, "%s", text))
	}
	switch {
	case s.logErr != nil:
		for _, text := range words.Fold(words.Printable("no more of it comes: "+s.logErr.Error()), width) {
			lines = append(lines, textLine(Bad, "%s", text))
		}
	case s.logEnded:
		lines = append(lines, textLine(Faint, "no more of it comes: the instance has ended"))
	case len(lines) == 0:
		lines = append(lines, textLine(Faint, "nothing is printed yet"))
	}
	return window(lines, len(lines)-room-s.offset[LogsView], room)
}
