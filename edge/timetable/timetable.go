// Package timetable reads the times of triggers, written as cron writes them. It is pure.
package timetable

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"holdfast/edge"
)

// Timetable says when something is due.
type Timetable struct {
	schedule cron.Schedule
}

// errNever: the 30th of February, and the like.
var errNever = errors.New("no such time comes in the next five years")

// Parse reads five fields (minute, hour, day of the month, month, day of the week), or
// one of @hourly, @daily, @weekly, @monthly, @yearly and @every 15m. TZ=Europe/Berlin
// before them names a zone; without it the node's own counts.
func Parse(text string) (Timetable, error) {
	schedule, err := parse(text)
	if err == nil && schedule.Next(time.Unix(0, 0)).IsZero() {
		err = errNever
	}
	if err != nil {
		return Timetable{}, edge.WithHint(fmt.Errorf("%q is no timetable: %w", text, err),
			`write five fields, as in "30 2 * * 1-5" for half past two on working days, or @hourly, @daily, @every 15m`)
	}
	return Timetable{schedule}, nil
}

// parse keeps a zone without times from the library, which does not look for its end, and spans
// below a second, which it takes for one.
func parse(text string) (cron.Schedule, error) {
	fields := strings.Fields(text)
	if len(fields) == 1 && strings.Contains(fields[0], "TZ=") {
		return nil, errors.New("there are no times behind the zone")
	}
	if span, every := strings.CutPrefix(strings.Join(fields, " "), "@every "); every {
		if d, err := time.ParseDuration(span); err == nil && d < time.Second {
			return nil, errors.New("it is shorter than a second")
		}
	}
	return cron.ParseStandard(strings.Join(fields, " "))
}

// Next is the first time after t.
func (t Timetable) Next(after time.Time) time.Time { return t.schedule.Next(after) }

// IsDue tells whether a time has come since then.
func (t Timetable) IsDue(since, now time.Time) bool {
	next := t.Next(since)
	return !next.IsZero() && !next.After(now)
}
