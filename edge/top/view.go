package top

import (
	"strings"
	"time"

	"holdfast/edge/words"
)

// The smallest screen that something can be read on; a smaller one says so.
const (
	leastWidth  = 20
	leastHeight = 4
)

// View is the screen, lines with \n between them: not more than height, none wider than width.
func (s State) View(look Look, width, height int) string {
	if width <= 0 || height <= 0 {
		return ""
	}
	var lines []line
	switch {
	case width < leastWidth || height < leastHeight:
		lines = []line{textLine(Strong, "too small")}
	case s.help:
		lines = s.frame(look, height, helpLines())
	default:
		lines = s.page(look, width, height)
	}
	var text strings.Builder
	for i, l := range lines[:min(len(lines), height)] {
		if i > 0 {
			text.WriteByte('\n')
		}
		l.render(look, width, &text)
	}
	return text.String()
}

// page is the view with what stands around it.
func (s State) page(look Look, width, height int) []line {
	switch {
	case !s.shown().known:
		return s.frame(look, height, []line{s.waitingLine()})
	case s.view == TasksView:
		return s.frame(look, height, s.taskLines(look, height-3))
	case s.view == WorkloadsView:
		return s.frame(look, height, s.workloadLines(look, height-3))
	case s.view == EventsView:
		return s.frame(look, height, s.eventLines(height-3))
	case s.view == LogsView:
		return s.frame(look, height, s.logLines(width, height-3))
	}
	return s.frame(look, height, layout(s.overview(look, width), height-2, look.glyphs().more))
}

// frame puts the head above the lines of a view and the keys below.
func (s State) frame(look Look, height int, inside []line) []line {
	lines := []line{s.head(look)}
	if s.view != Overview && s.shown().known {
		lines = append(lines, s.headline(look)[0])
	}
	room := height - len(lines) - 1
	lines = append(lines, inside[:min(len(inside), room)]...)
	for len(lines) < height-1 {
		lines = append(lines, nil)
	}
	return append(lines, s.foot())
}

func (s State) waitingLine() line {
	if s.trouble != nil {
		return textLine(Bad, "the agent does not answer: %v; it is tried again", s.trouble)
	}
	return textLine(Faint, "asking the agent")
}

// head says whose screen it is, and whether it is of now.
func (s State) head(look Look) line {
	var l line
	p, g := s.shown(), look.glyphs()
	l.add(Strong, "%s  ", p.hello.Node)
	switch {
	case s.frozen != nil:
		l.add(Careful, "paused")
	case !s.connected && s.since.IsZero():
		l.add(Faint, "connecting")
	case !s.connected:
		l.add(Bad, "%s gone for %s", g.bad, words.Span(s.live.now.Sub(s.since).Round(time.Second)))
	case !s.restarted.IsZero() && s.live.now.Sub(s.restarted) < restartShown:
		l.add(Careful, "%s live: another agent than before, process %d", g.good, p.hello.PID)
	default:
		l.add(Good, "%s live", g.good)
	}
	if p.known {
		l.add(Plain, "  holdfast %s", p.hello.Version)
		l.add(Faint, "  up %s", words.Span(max(0, p.agentNow().Sub(p.hello.Started)).Round(time.Second)))
	}
	l.add(Faint, "  %s", p.now.Format(time.TimeOnly))
	return l
}

// restartShown is how long a restart of the agent is worth a word.
const restartShown = 30 * time.Second

// agentNow is the agent's time, which need not be ours.
func (p picture) agentNow() time.Time {
	if len(p.samples) == 0 {
		return p.now
	}
	return p.samples[len(p.samples)-1].At
}

// foot names the views and the keys.
func (s State) foot() line {
	var l line
	for v := Overview; v < views; v++ {
		style := Faint
		if v == s.view {
			style = Turned
		}
		l.add(style, "%s", v)
		l.add(Plain, " ")
	}
	if s.view == LogsView {
		l.add(Turned, "logs of %s", s.logOf)
		l.add(Faint, " esc closes")
	}
	l.add(Faint, " ?:help q:quit tab:view l:logs p:pause")
	return l
}

func helpLines() []line {
	var lines []line
	for _, text := range []string{
		"",
		"tab, shift+tab   the next view, the one before",
		"up, down         go through the list of a view; page up, page down, home, end",
		"l                what the chosen workload has printed, as it comes (local socket only)",
		"esc              close the logs or this help",
		"p                pause: the picture stays; p again goes on with what is now",
		"q, ctrl+c        quit",
		"",
		"A lane is one of the node's slots; its bar fills from arrival to deadline.",
		"A task that is suspended has given way to a more urgent one and goes on later.",
		"On time: answered by the deadline, of those that ended (holdfast status explains each).",
	} {
		lines = append(lines, textLine(Plain, "%s", text))
	}
	return lines
}
