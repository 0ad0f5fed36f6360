package cli

import (
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/words"
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

// TestPrintStatus_OneScreen has a usual node fit a terminal of 80 columns and 24 lines.
func TestPrintStatus_OneScreen(t *testing.T) {
	const ms = time.Millisecond
	now := time.Now()
	s := edge.Status{
		Node: "line-3", Version: "1.4.0", PID: 812, Started: now.Add(-75 * time.Hour),
		Containerd: edge.DaemonReport{Connected: true, Version: "2.2.9"},
		Policy: edge.PolicyReport{
			Governed: true, State: "current", Name: "line", Version: 7, Root: 1, Signers: []string{"1f03aa77c2d4e1b0"}, Kept: true,
			Age: 50 * time.Hour, Lease: edge.LeaseTerms{Boots: 10}, LeaseLeft: 21 * time.Hour, LeaseBoots: 5,
		},
		Link:      &edge.LinkReport{Phase: "up", Broker: "ssl://fleet.example:8883", Since: now.Add(-2 * time.Hour), Heard: now.Add(-time.Minute)},
		Upstreams: []edge.UpstreamReport{{Name: "cloud", State: edge.UpstreamUp, URL: "https://models.example", Asked: 1204, Answered: 1201}},
		Vitals:    edge.Vitals{CPU: 0.41, MemoryUsed: 1 << 30, MemoryTotal: 4 << 30, DiskFree: 5 << 30, AgentRSS: 31 << 20},
		Health:    edge.HealthReport{Score: 92, Latency: 22 * ms},
		Scheduler: edge.QueueReport{
			Slots: 2, Order: "plan",
			Models: []edge.ModelReport{
				{Model: "digits", Pool: "line/digits", Estimate: 22 * ms, Firm: 25 * ms, Runs: 512, Median: 20 * ms, P90: 23 * ms, P99: 41 * ms, Bias: 0.93},
				{Model: "defects", Pool: "line/defects", Estimate: 122 * ms, Firm: 125 * ms, Runs: 64, Median: 120 * ms, P90: 123 * ms, P99: 141 * ms, Bias: 0.97},
			},
		},
		Workloads: []edge.WorkloadView{
			{Workload: edge.Workload{App: "line", Name: "digits", Image: "holdfast.example/digits:1", Replicas: 2}, Ready: 2},
			{Workload: edge.Workload{App: "line", Name: "defects", Image: "holdfast.example/defects:2", Replicas: 1}, Ready: 1},
		},
	}
	for _, class := range edge.Classes {
		s.Scheduler.Classes = append(s.Scheduler.Classes, edge.ClassReport{Class: class, Submitted: 123_456, Settled: map[string]uint64{"completed": 123_000, "missed": 456}})
	}
	var out strings.Builder
	if err := printStatus(printer{out: &out}, s, nil, now); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) > 23 { // the prompt has one too
		t.Errorf("it has %d lines, want at most 23:\n%s", len(lines), &out)
	}
	for _, line := range lines {
		if n := words.Width(strings.TrimRight(line, " ")); n > 80 {
			t.Errorf("%d columns, want at most 80: %s", n, line)
		}
	}
}
