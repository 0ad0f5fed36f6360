package top

import (
	"fmt"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/words"
)

// laneLines draw the slots with what runs in them, and below what is suspended.
func (p picture) laneLines(g glyphs, width int) []line {
	q := p.status.Scheduler
	slots := make([]*edge.TaskView, max(0, min(q.Slots, 256)))
	var others []*edge.TaskView
	for i := range p.tasks.Running {
		t := &p.tasks.Running[i]
		slot, placed := t.Slot.Number()
		if t.State == "suspended" || !placed || slot >= len(slots) || slots[slot] != nil {
			others = append(others, t)
			continue
		}
		slots[slot] = t
	}
	title := textLine(Strong, "slots")
	title.add(Plain, "  %d of %d busy", q.Running, q.Slots)
	if q.Suspended > 0 {
		title.add(Careful, "  %d suspended", q.Suspended)
	}
	if len(p.samples) > 0 {
		title.add(Faint, "  %s", g.spark(series(p.samples, func(s edge.Sample) float64 { return float64(s.Running) }), 20, float64(q.Slots)))
	}
	lines := []line{title}
	for i, t := range slots {
		lines = append(lines, p.laneLine(g, fmt.Sprint(i), t, width))
	}
	for _, t := range others {
		lines = append(lines, p.laneLine(g, "-", t, width))
	}
	return lines
}

// laneLine is one slot.
func (p picture) laneLine(g glyphs, name string, t *edge.TaskView, width int) line {
	columns := min(30, max(6, width/6))
	var l line
	l.column(Faint, 4, "", " "+name)
	if t == nil {
		l.add(Faint, "%s free", strings.Repeat(g.rest, columns))
		return l
	}
	left, share := p.remains(*t)
	style := Good
	switch {
	case t.State == "suspended", share > 0.8:
		style = Careful
	}
	if left < 0 {
		style = Bad
	}
	l.add(style, "%s", g.bar(share, columns))
	l.add(Plain, " ")
	l.column(Plain, 7, g.more, t.Class.String())
	l.column(Strong, max(12, width/5), g.more, t.Model)
	l.add(Plain, " %s", leftWords(*t, left))
	if t.State == "suspended" {
		l.add(Careful, " suspended")
	}
	l.add(Faint, "  %s", t.ID)
	return l
}

// calm is for how long tasks stay as they are until it is sure that nothing has changed: an
// agent tells of changes four times a second.
const calm = 400 * time.Millisecond

// remains is what is left to a task's deadline, and the share of its time that has passed.
func (p picture) remains(t edge.TaskView) (left time.Duration, share float64) {
	if t.Deadline.IsZero() {
		return 0, 0
	}
	at := p.tasks.At
	if passed := p.now.Sub(p.tasksAt); passed > calm && !p.old {
		at = at.Add(passed)
	}
	left = t.Deadline.Sub(at)
	if whole := t.Deadline.Sub(t.Arrived); whole > 0 {
		share = 1 - left.Seconds()/whole.Seconds()
	}
	return left, share
}

func leftWords(t edge.TaskView, left time.Duration) string {
	whole := t.Deadline.Sub(t.Arrived)
	switch {
	case t.Deadline.IsZero():
		return "no deadline"
	case left < 0:
		return fmt.Sprintf("%s over its %s", words.Span(-left), words.Span(whole))
	}
	return fmt.Sprintf("%s left of %s", words.Span(left), words.Span(whole))
}

func (p picture) queueLine() line {
	l := textLine(Strong, "queue")
	q := p.status.Scheduler
	total := max(p.tasks.WaitingTotal, len(p.tasks.Waiting))
	style := Plain
	if total > 0 {
		style = Careful
	}
	l.add(style, "  %d waiting", total)
	if q.Away+q.Held > 0 {
		l.add(Plain, "  %d asked elsewhere", q.Away+q.Held)
	}
	for i, t := range p.tasks.Waiting[:min(3, len(p.tasks.Waiting))] {
		if i == 0 {
			l.add(Faint, "  next:")
		}
		left, _ := p.remains(t)
		l.add(Plain, "  %s %s", t.Model, leftWords(t, left))
	}
	return l
}
