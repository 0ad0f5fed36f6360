package cli

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// What a follower waits before it asks an agent again that has gone: an agent that is
// restarted is back within a second.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

// backoff is how long to wait for an agent that has gone. The zero value begins anew.
type backoff struct{ next time.Duration }

func (b *backoff) reset() { b.next = 0 }

// wait waits, longer every time, and never two followers alike; false when ctx has ended.
func (b *backoff) wait(ctx context.Context) bool {
	b.next = min(max(2*b.next, firstPause), longestPause)
	timer := time.NewTimer(b.next/2 + rand.N(b.next/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// errEnough is that a verb which goes on until it is interrupted was; nothing is to be said.
var errEnough = coded{ExitInterrupted, errors.New("interrupted")}

// lineCutter makes lines of text that comes in pieces. A line is cut where it is longer than
// a screen would ever show.
type lineCutter struct{ rest []byte }

// maxLogLine is the longest line that is kept whole, in bytes.
const maxLogLine = 64 << 10

// add takes a piece and returns the lines that are whole.
func (c *lineCutter) add(text []byte) (lines []string) {
	for {
		line, after, found := bytes.Cut(text, []byte("\n"))
		c.rest = append(c.rest, line...)
		if !found && len(c.rest) <= maxLogLine {
			return lines
		}
		lines = append(lines, string(c.rest))
		c.rest = c.rest[:0]
		if !found {
			return lines
		}
		text = after
	}
}
