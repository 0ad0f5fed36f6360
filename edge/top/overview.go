package top

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/words"
)

// overview is all of a node in one screen.
func (s State) overview(look Look, width int) []section {
	p, g := s.shown(), look.glyphs()
	wide := width >= 100
	return []section{
		{lines: s.headline(look), least: 3, rank: 0},
		{lines: p.classLines(g), least: 3, rank: 1},
		{lines: p.laneLines(g, width), least: 3, rank: 2},
		{lines: []line{p.queueLine()}, least: 1, rank: 4},
		{lines: []line{p.policyLine(wide)}, least: 1, rank: 5},
		{lines: p.agentLines(), least: 1, rank: 6},
		{lines: p.systemLines(), least: 1, rank: 6},
		{lines: []line{p.linkLine()}, least: 1, rank: 3},
		{lines: p.upstreamLines(), least: 1, rank: 6},
		{lines: p.vitalLines(g, width), least: 1, rank: 9},
		{lines: p.workloadSummary(g, wide), least: 3, rank: 7},
		{lines: p.warningLines(), least: 2, rank: 8},
		{lines: p.lastEvents(), least: 4, rank: 10},
	}
}

// classLines say of each class how much of it is on time.
func (p picture) classLines(g glyphs) []line {
	var lines []line
	for _, class := range edge.Classes {
		report := edge.ClassReport{Class: class}
		for _, r := range p.status.Scheduler.Classes {
			if r.Class == class {
				report = r
			}
		}
		lines = append(lines, p.classLine(g, report))
	}
	return lines
}

func (p picture) classLine(g glyphs, r edge.ClassReport) line {
	var l line
	l.column(Strong, 8, g.more, r.Class.String())
	onTime, ended := p.ontime(r.Class.String(), recently)
	style, now := Faint, "none ended in 1m"
	if ended > 0 {
		share := float64(onTime) / float64(ended)
		style, now = Good, percent(share)+" on time in 1m"
		if share < onTimeWanted {
			style = Bad
		}
	}
	l.column(style, 21, g.more, now)
	since := "none since start"
	if share, known := r.OnTime(); known {
		since = percent(share) + " since start"
	}
	l.column(Plain, 21, g.more, since)
	l.column(Plain, 13, g.more, fmt.Sprintf("%d waiting", r.Waiting))
	l.add(Faint, "%s", g.spark(p.lateness(r.Class.String()), 12, 1))
	return l
}

// none is the share on time where no task has ended.
const none = -1

// lateness is, for every five seconds, the share of tasks on time.
func (p picture) lateness(class string) []float64 {
	const step = 5
	var shares []float64
	for i := step; i < len(p.samples); i += step {
		from, to := counted(p.samples[i-step], class), counted(p.samples[i], class)
		switch {
		case to[1] > from[1] && to[0] >= from[0]:
			shares = append(shares, float64(to[0]-from[0])/float64(to[1]-from[1]))
		default:
			shares = append(shares, none)
		}
	}
	return shares
}

func (p picture) policyLine(wide bool) line {
	l := textLine(Strong, "policy")
	r := p.status.Policy
	switch {
	case !r.Governed:
		l.add(Plain, "  none: nothing is trusted here, the workloads come from a Compose file")
		return l
	case r.Name == "":
		l.add(Bad, "  none: nothing is allowed")
		return l
	}
	style := Good
	if r.State != "current" {
		style = Careful
	}
	l.add(Plain, "  %s version %d ", r.Name, r.Version)
	l.add(style, "%s", r.State)
	if r.Trial {
		l.add(Careful, " on trial")
	}
	l.add(Plain, "  in force for %s  lease %s, %d boots left", words.Span(r.Age), words.Span(r.LeaseLeft), r.LeaseBoots)
	if wide && len(r.Signers) > 0 {
		l.add(Faint, "  signed by %s", strings.Join(r.Signers, ", "))
	}
	return l
}

func (p picture) linkLine() line {
	l := textLine(Strong, "link")
	r := p.status.Link
	if r == nil {
		l.add(Faint, "  none: this node has no fleet")
		return l
	}
	now := p.agentNow()
	if r.Phase == "up" {
		l.add(Good, "  up for %s", words.Span(max(0, now.Sub(r.Since))))
	} else {
		l.add(Bad, "  %s, down for %s", r.Phase, words.Span(max(0, now.Sub(p.linkSince(*r)))))
	}
	l.add(Plain, "  outbox %d", r.Waiting())
	if !r.Heard.IsZero() {
		l.add(Plain, "  fleet heard %s", words.Ago(r.Heard, now))
	}
	l.add(Faint, "  %s", r.Broker)
	return l
}

func (p picture) upstreamLines() []line {
	var lines []line
	for _, u := range p.status.Upstreams {
		l := textLine(Strong, "upstream")
		l.add(Plain, "  %s ", u.Name)
		style := Good
		if u.State != edge.UpstreamUp {
			style = Bad
		}
		l.add(style, "%s", u.State)
		if !u.Since.IsZero() {
			l.add(Plain, " for %s", words.Span(max(0, p.agentNow().Sub(u.Since))))
		}
		l.add(Plain, "  %d asked, %d answered", u.Asked-min(u.Asked, u.Spared), u.Answered)
		if u.Spared > 0 {
			l.add(Plain, ", %d spared", u.Spared)
		}
		if u.State != edge.UpstreamUp && u.LastError != "" {
			l.add(Faint, "  %s", u.LastError)
		}
		lines = append(lines, l)
	}
	return lines
}

func (p picture) warningLines() []line {
	if len(p.status.Warnings) == 0 {
		return nil
	}
	lines := []line{textLine(Careful, "%d warnings", len(p.status.Warnings))}
	if len(p.status.Warnings) == 1 {
		lines[0] = textLine(Careful, "1 warning")
	}
	for _, w := range p.status.Warnings {
		l := textLine(Careful, " %s", w.Code)
		l.add(Plain, " %s: %s", w.Subject, w.Detail)
		lines = append(lines, l)
	}
	return lines
}

// lastEvents are the latest, the newest first.
func (p picture) lastEvents() []line {
	if len(p.events) == 0 {
		return nil
	}
	lines := []line{textLine(Strong, "events")}
	for i := len(p.events) - 1; i >= 0; i-- {
		lines = append(lines, p.eventLine(p.events[i]))
	}
	return lines
}

func (p picture) eventLine(e edge.Event) line {
	form := time.TimeOnly
	if p.agentNow().Sub(e.At) > 24*time.Hour {
		form = "Jan 2 15:04"
	}
	l := textLine(Faint, " %s ", e.At.In(p.now.Location()).Format(form))
	l.add(Plain, "%s %s", e.Kind, cmp.Or(e.Subject, "-"))
	if e.Cause != "" {
		l.add(Faint, " because %s", e.Cause)
	}
	for _, key := range slices.Sorted(maps.Keys(e.Facts)) {
		l.add(Faint, " %s=%s", key, e.Facts[key])
	}
	return l
}

// series is one figure of all samples.
func series(samples []edge.Sample, of func(edge.Sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	return values
}
