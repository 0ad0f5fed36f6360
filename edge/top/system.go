package top

import (
	"cmp"

	"holdfast/edge"
	"holdfast/edge/words"
)

// systemLines say which version of the whole system runs below the agent, where that can be
// replaced, and what becomes of another.
func (p picture) systemLines() []line {
	r := p.status.System
	if r == nil {
		return nil
	}
	l := textLine(Strong, "system")
	l.add(Plain, "  %s%s", cmp.Or(r.Version, "of no version"), before(" from ", r.Slot))
	if r.Trial {
		l.add(Careful, "  on trial")
	}
	if r.Trouble != "" {
		l.add(Careful, "  %s", r.Trouble)
	}
	last := r.Last
	switch {
	case r.Phase != "":
		l.add(Plain, "  %s", systemPhaseWords(*r))
	case r.Waiting != "":
		l.add(Careful, "  %s runs after the next start of the machine", r.Waiting)
	case last != nil && last.Runs:
		l.add(Plain, "  last update %s kept", last.Version)
	case last != nil:
		l.add(Careful, "  last update %s did not stay%s", last.Version, because(last.Why))
	}
	return []line{l}
}

// systemPhaseWords say how far an update of the system has come.
func systemPhaseWords(r edge.SystemReport) string {
	told := "update: " + string(r.Phase) + before(" ", r.Wanted)
	switch {
	case r.Phase == edge.SystemFetching && r.Total > 0:
		told += ", " + words.Size(uint64(max(0, r.Done))) + " of " + words.Size(uint64(r.Total))
	case r.Phase == edge.SystemInstalling:
		told += ", " + percent(float64(r.Done)/100)
	}
	return told
}
