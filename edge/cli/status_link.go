package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
)

// linkWords says how the node stands with its fleet.
func linkWords(l edge.LinkReport, now time.Time) string {
	words := "link " + phaseWords(l, now)
	if n := l.Waiting(); n > 0 {
		words += fmt.Sprintf("  %d entries to tell", n)
	}
	if !l.Heard.IsZero() {
		words += fmt.Sprintf("  fleet heard %s ago", coarse(now.Sub(l.Heard)))
	}
	if l.Budget > 0 {
		words += fmt.Sprintf("  %s of %s this month", size(l.Bytes), size(l.Budget))
	}
	if l.Held {
		words += ", history waits"
	}
	return words
}

// siteWords says how the node stands with the broker of its site.
func siteWords(l edge.LinkReport, now time.Time) string {
	words := fmt.Sprintf("site %s  %d triggers", phaseWords(l, now), l.Triggers)
	for _, name := range slices.Sorted(maps.Keys(l.Messages)) {
		if n := l.Messages[name]; n > 0 {
			words += fmt.Sprintf("  %d %s", n, name)
		}
	}
	return words
}

func phaseWords(l edge.LinkReport, now time.Time) string {
	words := l.Phase
	if !l.Since.IsZero() {
		words += " for " + coarse(now.Sub(l.Since))
	}
	words += ", " + l.Broker
	if l.Phase != "up" && l.Detail != "" {
		words += ": " + strings.TrimSpace(l.Detail)
	}
	return words
}
