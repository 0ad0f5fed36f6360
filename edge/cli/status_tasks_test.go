package cli

import (
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// statusOf prints a status and the tasks beside it.
func statusOf(t *testing.T, q edge.QueueReport, tasks ...edge.TaskView) string {
	t.Helper()
	var out strings.Builder
	if err := printStatus(printer{out: &out}, edge.Status{Node: "n", Scheduler: q}, tasks, time.Now()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func wantSaid(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in:\n%s", w, text)
		}
	}
}

func wantUnsaid(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(text, w) {
			t.Errorf("%q stands in:\n%s", w, text)
		}
	}
}

func TestPrintStatus_Travelling(t *testing.T) {
	wantSaid(t, statusOf(t, edge.QueueReport{Held: 2, Away: 3}), "upstreams are asked for 2 tasks that keep a place here, and 3 that have none")
	wantUnsaid(t, statusOf(t, edge.QueueReport{}), "upstreams")
}

func TestPrintStatus_Order(t *testing.T) {
	wantUnsaid(t, statusOf(t, edge.QueueReport{Order: "plan"}), "order ", "suspended ")
	wantUnsaid(t, statusOf(t, edge.QueueReport{}), "order ")
	wantSaid(t, statusOf(t, edge.QueueReport{Order: "fifo"}), "order fifo: ", "nobody gives way")
	wantSaid(t, statusOf(t, edge.QueueReport{Order: "next"}), "order next: one that this program does not know")
}

func TestPrintStatus_Suspensions(t *testing.T) {
	wantSaid(t, statusOf(t, edge.QueueReport{Order: "plan", Suspended: 2, Suspensions: 31}), "suspended 2 now, and 31 times since the start")
}

func TestPrintStatus_Models(t *testing.T) {
	const ms = time.Millisecond
	text := statusOf(t, edge.QueueReport{Models: []edge.ModelReport{
		{Model: "seen", Estimate: 22 * ms, Firm: 25 * ms, Runs: 64, Median: 20 * ms, P90: 23 * ms, P99: 41 * ms, Bias: 0.93},
		{Model: "new", Estimate: 50 * ms, Firm: 50 * ms},
	}})
	wantSaid(t, text, "P99", "BIAS", "64 runs", "20ms", "23ms", "41ms", "0.93", "declared")
}

func TestPrintStatus_GivenUp(t *testing.T) {
	now := time.Now()
	view := func(id, state, why string) edge.TaskView {
		return edge.TaskView{ID: id, Model: "m", Class: edge.Batch, State: state, Reason: why, Arrived: now, Deadline: now.Add(2 * time.Second)}
	}
	text := statusOf(t, edge.QueueReport{},
		view("one", "evicted", "gave way to a task of class urgent"), view("two", "completed", ""), view("three", "refused", "queue\nfull"))
	wantSaid(t, text, "one  batch m, to be answered within 2s: evicted: gave way to a task of class urgent", "three  batch m", "refused: queue full")
	wantUnsaid(t, text, "two")
	wantUnsaid(t, statusOf(t, edge.QueueReport{}, view("two", "completed", "")), "lately")
	many := make([]edge.TaskView, 9)
	for i := range many {
		many[i] = view("many", "refused", "full")
	}
	if got := strings.Count(statusOf(t, edge.QueueReport{}, many...), "many"); got != latelyShown {
		t.Errorf("%d tasks are explained, want %d", got, latelyShown)
	}
}
