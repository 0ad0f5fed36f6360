package sitelink

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"holdfast/edge"
	"holdfast/mqtt"
)

// maxFilters are as many subscriptions as fit one packet.
const maxFilters = 64

// plan is what the triggers of one policy mean for the link. It is never changed.
type plan struct {
	rules    []*rule
	filters  []string // to subscribe to: of filters one of which covers another, the wider
	warnings []edge.Warning
}

// rule is one trigger in force.
type rule struct {
	edge.Trigger
	counts *counts
}

// newPlan sorts out which triggers can be served. Counts go on where a trigger is
// the same as before.
func newPlan(triggers []edge.Trigger, before *plan) *plan {
	p := &plan{}
	var served []edge.Trigger
	for _, t := range triggers {
		if t.MQTT == "" {
			continue // of a folder: not ours
		}
		if slices.Contains(served, t) {
			p.warn(t, "the same trigger stands twice; it counts once", "remove one of them")
			continue
		}
		served = append(served, t)
	}
	for _, t := range served {
		if problem, remedy := examine(t, served); problem != "" {
			p.warn(t, problem, remedy)
			continue
		}
		p.rules = append(p.rules, &rule{Trigger: t, counts: countsOf(t, before)})
	}
	p.subscribe()
	return p
}

func (p *plan) warn(t edge.Trigger, detail, remedy string) {
	p.warnings = append(p.warnings, edge.Warning{Code: WarningTrigger, Subject: t.MQTT, Detail: detail, Remedy: remedy})
}

// examine finds what keeps a trigger from being served.
func examine(t edge.Trigger, all []edge.Trigger) (problem, remedy string) {
	switch {
	case !mqtt.IsFilter(t.MQTT):
		return "it is no topic filter", "wildcards fill a whole level, # the last one"
	case t.Reply == "":
		return "", ""
	case !mqtt.IsFilter(t.Reply):
		return fmt.Sprintf("its reply %.80q is no topic", t.Reply), "write a topic, with the wildcards of the filter or none"
	case wildcards(t.Reply) != "" && wildcards(t.Reply) != wildcards(t.MQTT):
		return fmt.Sprintf("its reply %.80q has other wildcards than it", t.Reply), "write as many + as the filter has, and # only if it has one; or none"
	case strings.HasPrefix(t.Reply, "$"):
		return fmt.Sprintf("its reply %.80q begins with $, which is the broker's own", t.Reply), "choose another topic"
	}
	for _, other := range all {
		if overlaps(t.Reply, other.MQTT) {
			return fmt.Sprintf("its replies to %.80q would be taken for messages by the trigger %.80q: each answer would make another task", t.Reply, other.MQTT),
				"choose a reply topic that no trigger matches"
		}
	}
	return "", ""
}

// subscribe chooses the filters. A broker may send a message once for each filter
// that matches it, so a filter within another is left out. Rules whose filter finds no
// room are not served.
func (p *plan) subscribe() {
	wanted := map[string]bool{}
	for _, r := range p.rules {
		wanted[r.MQTT] = true
	}
	all := slices.Sorted(maps.Keys(wanted))
	for _, filter := range all {
		if !slices.ContainsFunc(all, func(other string) bool { return other != filter && covers(other, filter) }) {
			p.filters = append(p.filters, filter)
		}
	}
	if len(p.filters) <= maxFilters {
		return
	}
	left := p.filters[maxFilters:]
	p.filters = p.filters[:maxFilters:maxFilters]
	p.rules = slices.DeleteFunc(p.rules, func(r *rule) bool {
		out := slices.ContainsFunc(left, func(filter string) bool { return covers(filter, r.MQTT) }) &&
			!slices.ContainsFunc(p.filters, func(filter string) bool { return covers(filter, r.MQTT) })
		if out {
			p.warn(r.Trigger, fmt.Sprintf("there are more than %d topic filters", maxFilters), "join some of them with wildcards")
		}
		return out
	})
}

// match returns the rules a topic falls under.
func (p *plan) match(topic string) (found []*rule) {
	for _, r := range p.rules {
		if matches(r.MQTT, topic) {
			found = append(found, r)
		}
	}
	return found
}

// countsOf takes over the counts of the same trigger.
func countsOf(t edge.Trigger, before *plan) *counts {
	if before != nil {
		for _, r := range before.rules {
			if r.Trigger == t {
				return r.counts
			}
		}
	}
	return &counts{}
}
