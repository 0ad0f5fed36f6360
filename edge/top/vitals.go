package top

import (
	"holdfast/edge"
	"holdfast/edge/words"
)

// vitalLines are what the machine has, in small plots.
func (p picture) vitalLines(g glyphs, width int) []line {
	v := p.status.Vitals
	columns := min(60, max(8, width/5))
	now := edge.Sample{CPU: v.CPU, MemoryUsed: v.MemoryUsed, AgentRSS: v.AgentRSS, Temperature: v.Temperature}
	if len(p.samples) > 0 {
		now = p.samples[len(p.samples)-1]
	}
	machine := textLine(Strong, "cpu ")
	machine.add(loadStyle(now.CPU), "%s %3.0f%%", g.spark(series(p.samples, func(s edge.Sample) float64 { return s.CPU }), columns, 1), 100*now.CPU)
	machine.add(Strong, "  mem ")
	machine.add(loadStyle(ratio(now.MemoryUsed, v.MemoryTotal)), "%s", g.bar(ratio(now.MemoryUsed, v.MemoryTotal), columns/2))
	machine.add(Plain, " %s of %s", words.Size(now.MemoryUsed), words.Size(v.MemoryTotal))
	if now.Temperature > 0 {
		machine.add(heatStyle(now.Temperature), "  %.0f%sC", now.Temperature, g.degree)
	}
	rest := textLine(Strong, "disk")
	rest.add(Plain, " %s of %s free", words.Size(v.DiskFree), words.Size(v.DiskTotal))
	rest.add(Strong, "  agent")
	rest.add(Plain, " %.1f%% of a core, %s", 100*now.AgentCPU, words.Size(now.AgentRSS))
	rest.add(Strong, "  health")
	rest.add(Plain, " %.0f of 100  load %.2f", p.status.Health.Score, v.Load1)
	return []line{machine, rest}
}

func ratio(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func loadStyle(share float64) Style {
	switch {
	case share > 0.95:
		return Bad
	case share > 0.8:
		return Careful
	}
	return Good
}

// heatStyle marks what most boards begin to slow down at, and a little before.
func heatStyle(celsius float64) Style {
	switch {
	case celsius >= 80:
		return Bad
	case celsius >= 70:
		return Careful
	}
	return Plain
}
