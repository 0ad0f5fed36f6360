package top

import (
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/words"
)

// recently is over which time the headline judges.
const recently = time.Minute

// onTimeWanted is the share of tasks on time under which a class is not well.
const onTimeWanted = 0.99

// trouble is something that is wrong, in words.
type trouble struct {
	style Style
	text  string
}

// headline says in words what is wrong, the worst first; one line when nothing is.
func (s State) headline(look Look) []line {
	g := look.glyphs()
	found := s.troubles()
	if len(found) == 0 {
		return []line{textLine(Good, "%s %s", g.good, s.shown().wellWords())}
	}
	var lines []line
	for i, t := range found {
		l := textLine(t.style, "%s %s", g.bad, t.text)
		if i == 0 && len(found) > 1 {
			l = textLine(t.style, "%s 1 of %d: %s", g.bad, len(found), t.text)
		}
		lines = append(lines, l)
	}
	return lines
}

// wellWords says of what it is well.
func (p picture) wellWords() string {
	text := "all is well: no task has ended in 1m"
	if onTime, ended := p.ontime("", recently); ended > 0 {
		text = fmt.Sprintf("all is well: %d of %d tasks on time in 1m", onTime, ended)
	}
	if p.status.Link != nil {
		text += ", fleet reached"
	}
	return text
}

// troubles is what is wrong.
func (s State) troubles() []trouble {
	p := s.shown()
	var found []trouble
	say := func(style Style, format string, args ...any) {
		found = append(found, trouble{style, fmt.Sprintf(format, args...)})
	}
	if !s.connected && s.frozen == nil {
		say(Bad, "the agent has not answered since %s, this is from then: %v", s.since.In(p.now.Location()).Format(time.TimeOnly), s.trouble)
	}
	p.overload(say)
	if !p.status.Containerd.Connected {
		say(Bad, "containerd does not answer: what runs goes on, nothing can be started")
	}
	p.cutOff(say)
	p.policyTroubles(say)
	p.ownTroubles(say)
	for _, v := range p.status.Workloads {
		if v.OneShot == nil && v.Ready < v.Workload.Replicas {
			say(Careful, "%s: %d of %d ready", v.Workload.Key(), v.Ready, v.Workload.Replicas)
		}
	}
	if p.status.Draining {
		say(Careful, "it is drained: no new task is taken")
	}
	if len(found) == 0 && len(p.status.Warnings) > 0 {
		w := p.status.Warnings[0]
		say(Careful, "%s: %s", w.Code, w.Detail)
	}
	return found
}

// overload says which classes are not on time, and whether there is more to do than can be.
func (p picture) overload(say func(Style, string, ...any)) {
	q := p.status.Scheduler
	full := q.Slots > 0 && q.Running >= q.Slots && q.Waiting > 0
	for _, class := range edge.Classes {
		onTime, ended := p.ontime(class.String(), recently)
		if ended == 0 || float64(onTime) >= onTimeWanted*float64(ended) {
			continue
		}
		cause := "late"
		if full {
			cause = "overloaded"
		}
		say(Bad, "%s: %s of %s tasks not on time in 1m (%d of %d)",
			cause, percent(float64(ended-onTime)/float64(ended)), class, ended-onTime, ended)
	}
}

// cutOff says which others are not reached.
func (p picture) cutOff(say func(Style, string, ...any)) {
	now := p.agentNow()
	if l := p.status.Link; l != nil && l.Phase != "up" {
		text := "cut off from the fleet for " + words.Span(max(0, now.Sub(p.linkSince(*l))))
		if n := l.Waiting(); n > 0 {
			text += fmt.Sprintf(", %d entries wait to be told", n)
		}
		say(Bad, "%s%s", text, because(l.Detail))
	}
	if l := p.status.Site; l != nil && l.Phase != "up" {
		say(Careful, "cut off from the site's broker%s", because(l.Detail))
	}
	for _, u := range p.status.Upstreams {
		if u.State != edge.UpstreamUp {
			say(Careful, "upstream %s is %s%s", u.Name, u.State, because(u.LastError))
		}
	}
}

// linkSince is from when on the link has been down: longer than its phase, which changes with
// each attempt.
func (p picture) linkSince(l edge.LinkReport) time.Time {
	since := l.Since
	for i := len(p.samples) - 1; i >= 0 && p.samples[i].Link == "down"; i-- {
		if p.samples[i].At.Before(since) {
			since = p.samples[i].At
		}
	}
	for i := len(p.events) - 1; i >= 0; i-- {
		switch p.events[i].Kind {
		case edge.EventLinkUp:
			return since
		case edge.EventLinkDown:
			return p.events[i].At
		}
	}
	return since
}

func because(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}

func (p picture) policyTroubles(say func(Style, string, ...any)) {
	r := p.status.Policy
	switch {
	case !r.Governed:
	case r.State == "degraded":
		say(Bad, "the policy's lease has ended: only what it allows then is done")
	case r.State == "previous":
		say(Careful, "the newest policy failed; version %d is in force%s", r.Version, because(r.FailedWhy))
	case r.Name == "":
		say(Careful, "no policy is in force: nothing is allowed")
	}
}

// ontime is how many tasks of a class ended in the time before now, and on time; of all
// classes when it is "".
func (p picture) ontime(class string, within time.Duration) (onTime, ended uint64) {
	if len(p.samples) == 0 {
		return 0, 0
	}
	last := p.samples[len(p.samples)-1]
	first := last
	for i := len(p.samples) - 1; i >= 0; i-- {
		s := p.samples[i]
		if last.At.Sub(s.At) > within || counted(s, "")[1] > counted(first, "")[1] {
			break // too old, or of the agent before
		}
		first = s
	}
	from, to := counted(first, class), counted(last, class)
	return to[0] - min(to[0], from[0]), to[1] - min(to[1], from[1])
}

// counted are the tasks on time and all that ended, of a class or, when it is "", of all.
func counted(s edge.Sample, class string) (n edge.EndedCount) {
	for i, counts := range [...]edge.EndedCount{s.Ended.Urgent, s.Ended.Normal, s.Ended.Batch} {
		if class == "" || class == edge.Classes[i].String() {
			n[0] += counts[0]
			n[1] += counts[1]
		}
	}
	return n
}

// percent never says 100 % of what is not all of it, nor 0 % of what is some.
func percent(share float64) string {
	switch {
	case share <= 0:
		return "0%"
	case share >= 1:
		return "100%"
	case share < 0.001:
		return "<0.1%"
	case share > 0.999:
		return ">99.9%"
	}
	return fmt.Sprintf("%.1f%%", 100*share)
}
