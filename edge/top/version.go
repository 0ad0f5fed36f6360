package top

import (
	"fmt"

	"holdfast/edge"
	"holdfast/edge/words"
)

// agentLines say how the agent stands between its own versions, where there is anything to
// say: a program that came with the node and was never updated is named at the top.
func (p picture) agentLines() []line {
	r := p.status.Agent
	l := textLine(Strong, "agent")
	said := len(l)
	switch {
	case r.Slot == "":
		return nil
	case r.Rescue != "":
		l.add(Bad, "  in rescue: %s", r.Rescue)
	case r.Slot != "factory":
		l.add(Plain, "  %s from slot %s", p.status.Version, r.Slot)
	}
	if r.Trial {
		l.add(Careful, "  on trial")
		l.add(Plain, "%s, else %s again, %s left", p.trialLeft(), r.Previous, starts(r.TriesLeft))
	}
	if r.Phase != "" {
		l.add(Plain, "  %s", updateWords(r))
	}
	if last := r.Last; last.Result != "" {
		style := Plain
		if last.Result != edge.AgentKept {
			style = Careful
		}
		l.add(style, "  last update%s %s%s", before(" ", last.Version), resultWords(last.Result), because(last.Why))
	}
	if len(l) == said {
		return nil
	}
	return []line{l}
}

func starts(n int) string {
	if n == 1 {
		return "1 start"
	}
	return fmt.Sprintf("%d starts", n)
}

// trialLeft is how long a version on trial has still to be well.
func (p picture) trialLeft() string {
	r := p.status.Agent
	switch {
	case r.Unwell != "":
		return ", not well" + because(r.Unwell)
	case r.TrialUntil.IsZero():
		return ""
	}
	return " for " + words.Span(max(0, r.TrialUntil.Sub(p.agentNow())))
}

func updateWords(r edge.AgentReport) string {
	text := "update: " + string(r.Phase) + before(" ", r.Wanted)
	if r.Total > 0 {
		text += fmt.Sprintf(", %s of %s", words.Size(uint64(max(0, r.Done))), words.Size(uint64(r.Total)))
	}
	return text
}

func resultWords(result edge.AgentResult) string {
	if result == edge.AgentAwaited {
		return "cannot be had now"
	}
	return string(result)
}

// before puts something before a text that is there.
func before(what, text string) string {
	if text == "" {
		return ""
	}
	return what + text
}

// ownTroubles says of the agent's own version what is wrong with it.
func (p picture) ownTroubles(say func(Style, string, ...any)) {
	r := p.status.Agent
	switch {
	case r.Rescue != "":
		say(Careful, "the program that came with the node stands in for another version of the agent%s", because(r.Rescue))
	case r.Trial && r.Unwell != "":
		say(Careful, "version %s of the agent is on trial and not well%s", p.status.Version, because(r.Unwell))
	}
}
