package runtime

import (
	"testing"
	"time"

	"holdfast/edge"
)

func TestCompare(t *testing.T) {
	terms := edge.Canary{Share: 10, Tasks: 100}.WithDefaults()
	figure := func(tasks, failed uint64, median, p90 time.Duration) edge.VersionFigure {
		return edge.VersionFigure{Tasks: tasks, Failed: failed, Median: median, P90: p90}
	}
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		now, before edge.VersionFigure
		over        bool
		want        verdict
	}{
		"NothingYet":           {figure(0, 0, 0, 0), figure(50, 0, ms, ms), false, undecided},
		"NothingAtTheEnd":      {figure(0, 0, 0, 0), figure(50, 0, ms, ms), true, passing},
		"Alike":                {figure(100, 0, 10*ms, 12*ms), figure(900, 0, 10*ms, 12*ms), false, passing},
		"AlikeAtTheEnd":        {figure(7, 0, 10*ms, 12*ms), figure(63, 0, 10*ms, 12*ms), true, passing},
		"TwoMayBeInputs":       {figure(5, 2, ms, ms), figure(45, 0, ms, ms), false, undecided},
		"ThreeAtOnce":          {figure(3, 3, 0, 0), figure(27, 0, ms, ms), false, failing},
		"ThreeOfMany":          {figure(100, 3, ms, ms), figure(900, 0, ms, ms), false, failing},
		"AFewOfVeryMany":       {figure(1000, 9, ms, ms), figure(900, 0, ms, ms), false, passing},
		"AsOftenAsBefore":      {figure(100, 20, ms, ms), figure(900, 180, ms, ms), false, passing},
		"MoreThanTwiceAsOften": {figure(100, 45, ms, ms), figure(900, 180, ms, ms), false, failing},
		"TheOnlyOneFailed":     {figure(1, 1, 0, 0), figure(9, 0, ms, ms), true, failing},
		"OneOfThreeFailed":     {figure(3, 1, ms, ms), figure(27, 0, ms, ms), true, passing},
		"Slower":               {figure(100, 0, 20*ms, 25*ms), figure(900, 0, 10*ms, 12*ms), false, failing},
		"SlowerAtTheEnd":       {figure(9, 0, 20*ms, 25*ms), figure(81, 0, 10*ms, 12*ms), true, failing},
		"SlowerInTheMiddle":    {figure(100, 0, 20*ms, 25*ms), figure(900, 0, 10*ms, 25*ms), false, passing},
		"WithinTheNoise":       {figure(100, 0, 300*time.Microsecond, ms), figure(900, 0, 100*time.Microsecond, 200*time.Microsecond), false, passing},
		"NothingToHoldAgainst": {figure(100, 0, 20*ms, 25*ms), figure(0, 0, 0, 0), false, passing},
		"NotYetSlower":         {figure(99, 0, 20*ms, 25*ms), figure(900, 0, 10*ms, 12*ms), false, undecided},
	} {
		t.Run(name, func(t *testing.T) {
			got, why := compare(c.now, c.before, terms, c.over)
			if got != c.want {
				t.Errorf("got %v (%s), want %v", got, why, c.want)
			}
			if (why != "") != (got == failing) {
				t.Errorf("why: got %q with %v", why, got)
			}
		})
	}
}

// TestTasks_Figure forgets what was slow at the start.
func TestTasks_Figure(t *testing.T) {
	var tasks tasks
	for range keptRuns {
		tasks.add(time.Second, nil)
	}
	for i := range 2 * keptRuns {
		tasks.add(time.Duration(i%10+1)*time.Millisecond, nil)
	}
	tasks.add(time.Hour, edge.ErrModel)
	got := tasks.figure()
	want := edge.VersionFigure{Tasks: 3*keptRuns + 1, Failed: 1, Median: 6 * time.Millisecond, P90: 9 * time.Millisecond}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestVerdictOn(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ready := func(ago time.Duration) place { return place{since: now.Add(-ago)} }
	for name, c := range map[string]struct {
		places []place
		update edge.Update
		want   verdict
		again  time.Duration
	}{
		"None":            {nil, edge.Update{}, undecided, 0},
		"Young":           {[]place{ready(10 * time.Second)}, edge.Update{}, undecided, 20 * time.Second},
		"Stood":           {[]place{ready(30 * time.Second)}, edge.Update{}, passing, 0},
		"StoodAsAsked":    {[]place{ready(time.Second)}, edge.Update{Monitor: time.Second}, passing, 0},
		"TheYoungestOne":  {[]place{ready(40 * time.Second), ready(time.Second)}, edge.Update{}, undecided, 29 * time.Second},
		"OneIsMissing":    {[]place{ready(40 * time.Second), {}}, edge.Update{}, undecided, 0},
		"Ended":           {[]place{{done: true}, ready(time.Minute)}, edge.Update{}, passing, 0},
		"OneFailed":       {[]place{ready(40 * time.Second), {failed: "x"}}, edge.Update{}, failing, 0},
		"OneMayFail":      {[]place{ready(40 * time.Second), {failed: "x"}}, edge.Update{MaxFailed: 0.5}, undecided, 0},
		"TwoMayNot":       {[]place{{failed: "y"}, {failed: "x"}}, edge.Update{MaxFailed: 0.5}, failing, 0},
		"AllMayFail":      {[]place{{failed: "y"}, {failed: "x"}}, edge.Update{MaxFailed: 1}, undecided, 0},
		"Recovered":       {[]place{{failed: "x", since: now.Add(-time.Minute)}}, edge.Update{}, passing, 0},
		"NotRecoveredYet": {[]place{{failed: "x", since: now.Add(-time.Second)}}, edge.Update{}, failing, 0},
		"InTime":          {[]place{{by: now.Add(time.Second)}}, edge.Update{}, undecided, time.Second},
		"TooLate":         {[]place{{by: now, late: "closed"}}, edge.Update{}, failing, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, why, again := verdictOn(c.places, c.update, now)
			if got != c.want {
				t.Errorf("got %v (%s), want %v", got, why, c.want)
			}
			if want := now.Add(c.again); c.again > 0 && !again.Equal(want) || c.again == 0 && !again.IsZero() {
				t.Errorf("again: got %v, want after %v", again, c.again)
			}
		})
	}
}
