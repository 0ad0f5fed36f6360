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
	switch n := l.Waiting(); n {
	case 0:
	case 1:
		words += "  1 entry to tell"
	default:
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

// upstreamWords says how the node stands with a server that answers tasks.
func upstreamWords(u edge.UpstreamReport, now time.Time) string {
	words := fmt.Sprintf("upstream %s %s", u.Name, u.State)
	if !u.Since.IsZero() {
		words += " for " + coarse(now.Sub(u.Since))
	}
	words += fmt.Sprintf(", %s  %d asked, %d answered", u.URL, u.Asked-u.Spared, u.Answered)
	if u.Spared > 0 {
		words += fmt.Sprintf(", %d spared", u.Spared)
	}
	if u.State != edge.UpstreamUp && u.LastError != "" {
		words += ": " + printable(u.LastError)
	}
	return words
}

// inboxWords says what has become of files in watched folders.
func inboxWords(r edge.InboxReport) string {
	words := fmt.Sprintf("inbox %d folders  %d being answered", r.Folders, r.Inside)
	if r.Timed > 0 {
		words += fmt.Sprintf("  %d timetables", r.Timed)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		if n := r.Files[name]; n > 0 {
			words += fmt.Sprintf("  %d %s", n, name)
		}
	}
	if r.Again > 0 {
		words += fmt.Sprintf("  %d times no room", r.Again)
	}
	return words
}
