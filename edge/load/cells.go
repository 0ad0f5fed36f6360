package load

import (
	"io"

	"holdfast/scheduler/sim"
)

// Plot writes an SVG of tasks on time, of those sent, against load: one panel for each
// kind of arrivals, one line for each order, and the bound dashed.
func Plot(to io.Writer, reports []Report) error { return sim.Plot(to, cells(reports)) }

// cells puts the reports of several orders on the same load side by side.
func cells(reports []Report) []sim.Cell {
	var cells []sim.Cell
	for _, r := range reports {
		at := -1
		for i, c := range cells {
			if c.Arrivals == r.Arrivals && c.Load == r.Load {
				at = i
			}
		}
		if at < 0 {
			at = len(cells)
			cells = append(cells, sim.Cell{Arrivals: r.Arrivals, Load: r.Load, Cores: r.Slots, Tasks: r.Tasks, Bound: r.Bound})
		}
		outcome := sim.Outcome{Policy: r.Order, OfBound: r.OfBound}
		if r.Tasks > 0 {
			outcome.OnTime = float64(r.OnTime) / float64(r.Tasks)
		}
		cells[at].Outcomes = append(cells[at].Outcomes, outcome)
	}
	return cells
}
