package desk

import (
	"time"
)

// complain tells of a message that is of no use, a few times a minute at most.
func (at *attendant) complain(s Said, err error) {
	if left := at.grumble.allows(s.At); left > 0 {
		at.desk.options.Log.Warn("message not taken", "node", s.Topic.Node, "kind", string(s.Topic.Kind), "err", err)
		if left == 1 {
			at.desk.options.Log.Warn("more of them are not logged for a minute")
		}
	}
}

// grumble bounds lines in the log that others can cause.
type grumble struct {
	since time.Time
	said  int
}

// maxGrumbles is how many lines a minute may have.
const maxGrumbles = 10

// allows counts a line and tells how many may still be said, this one included.
func (g *grumble) allows(now time.Time) int {
	if now.Sub(g.since) >= time.Minute {
		g.since, g.said = now, 0
	}
	g.said++
	return maxGrumbles + 1 - g.said
}
