package cli

import (
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

// latelyShown is how many tasks that were given up lately status explains; the list of tasks
// has them all.
const latelyShown = 5

// printQueue says what of the queue is not as on every other node.
func printQueue(p printer, q edge.QueueReport) {
	said := false
	if order, err := scheduler.ParseOrder(q.Order); q.Order != "" && (err != nil || order != scheduler.Planned) {
		fmt.Fprintf(p.out, "order %s: %s; nobody gives way, and nothing is suspended\n", printable(q.Order), orderWords(order, err))
		said = true
	}
	if q.Suspensions > 0 {
		fmt.Fprintf(p.out, "suspended %d now, and %d times since the start, for what was more pressing\n", q.Suspended, q.Suspensions)
		said = true
	}
	if q.Held+q.Away > 0 {
		fmt.Fprintf(p.out, "upstreams are asked for %d tasks that keep a place here, and %d that have none\n", q.Held, q.Away)
		said = true
	}
	if said {
		fmt.Fprintln(p.out)
	}
}

func orderWords(order scheduler.Order, err error) string {
	if err != nil {
		return "one that this program does not know"
	}
	return order.Says()
}

// printGivenUp explains the latest tasks that were refused or that gave way.
func printGivenUp(p printer, tasks []edge.TaskView) {
	shown := 0
	for _, t := range tasks {
		if t.State != edge.Refused.String() && t.State != edge.Evicted.String() {
			continue
		}
		if shown++; shown == 1 {
			fmt.Fprintf(p.out, "\nlately refused or evicted (holdfast tasks lists more)\n")
		}
		fmt.Fprintf(p.out, "%s  %s %s, to be answered within %s: %s: %s\n", printable(t.ID), t.Class, printable(t.Model),
			relativeDeadline(t), t.State, printable(t.Reason))
		if shown == latelyShown {
			return
		}
	}
}

// modelRows tells what the plan counts with for each model, and what it has seen: the spread of its
// runs, and what they took ÷ what was counted with.
func modelRows(q edge.QueueReport) ([]string, [][]string) {
	var rows [][]string
	for _, m := range q.Models {
		row := []string{m.Model, m.Pool, coarse(m.Estimate), coarse(m.Firm), "declared"}
		if m.Runs > 0 {
			row[4] = fmt.Sprintf("%d runs", m.Runs)
		}
		for _, took := range []time.Duration{m.Median, m.P90, m.P99} {
			row = append(row, tookWords(took, m.Runs))
		}
		bias := ""
		if m.Bias > 0 {
			bias = fmt.Sprintf("%.2f", m.Bias)
		}
		rows = append(rows, append(row, bias))
	}
	return []string{"MODEL", "WORKLOAD", "ESTIMATE", "FIRM", "FROM", "P50", "P90", "P99", "BIAS"}, rows
}

func tookWords(took time.Duration, runs int) string {
	if runs == 0 {
		return ""
	}
	return coarse(took)
}
