package metrics_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"holdfast/edge"
	"holdfast/edge/metrics"
)

// everything is a status that has something of each kind.
func everything() edge.Status {
	link := func(phase string) *edge.LinkReport {
		return &edge.LinkReport{
			Phase: phase, Beat: 30 * time.Second, Bytes: 1000, Budget: 5000, Messages: map[string]uint64{"heard": 9},
			Streams: []edge.StreamReport{{Name: "control", Waiting: 3}, {Name: "telemetry", Waiting: 4}},
		}
	}
	site := link("waiting")
	site.Streams = nil
	return edge.Status{
		Node: "gw-1", Version: "1.2.3", Started: time.Unix(1e9, 5e8), Draining: true,
		Agent:      edge.AgentReport{Slot: "b", Sequence: 9, Trial: true, Rejected: make([]edge.RejectedVersion, 2)},
		Policy:     edge.PolicyReport{Governed: true, State: "current", Trial: true, Version: 7, Age: time.Minute, LeaseLeft: time.Hour, LeaseBoots: 20},
		Containerd: edge.DaemonReport{Connected: true},
		Link:       link("up"), Site: site,
		Inbox: &edge.InboxReport{Folders: 1, Inside: 2, Again: 5, Files: map[string]uint64{"completed": 8, "refused": 2, "unfit": 1}},
		Scheduler: edge.QueueReport{
			Slots: 2, Running: 1, Away: 3, Attempts: 4, Suspended: 1, Suspensions: 6,
			Classes: []edge.ClassReport{{Class: edge.Urgent, Waiting: 1, Submitted: 10}},
			Models:  []edge.ModelReport{{Model: "digits", Lanes: 2, Estimate: 20 * time.Millisecond}},
		},
		Upstreams: []edge.UpstreamReport{{Name: "hq", State: edge.UpstreamDown, Asked: 10, Answered: 6, Spared: 3}},
		Tenants:   []edge.TenantReport{{Tenant: "vision", Submitted: 5, OverQuota: 2, Denied: 1}},
		Workloads: []edge.WorkloadView{{
			Workload: edge.Workload{App: "line", Name: "digits", Replicas: 2}, Ready: 1,
			Update:    &edge.UpdateView{Phase: "canary"},
			Instances: []edge.InstanceView{{Restarts: 3}, {Restarts: 1}},
			OneShot:   &edge.OneShotView{Warm: 2, Busy: 1, Runs: 9, Cold: 4},
		}},
		Warnings: []edge.Warning{{Code: "disk-full", Subject: "a"}, {Code: "disk-full", Subject: "b"}},
		Health:   edge.HealthReport{Score: 77},
		Traces:   &edge.TraceReport{Waiting: 5, Sent: 70, Dropped: 2},
		Vitals:   edge.Vitals{Cores: 4, CPU: .5, MemoryTotal: 100, MemoryUsed: 50, DiskTotal: 10, DiskFree: 5, Temperature: 60, AgentRSS: 20, AgentCPU: time.Second, AgentWritten: 4096},
	}
}

func newMetrics(t *testing.T, status edge.Status) *metrics.Metrics {
	t.Helper()
	m, err := metrics.New(func() edge.Status { return status })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shown is what a scrape gets.
func shown(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", answer.Code, err, body)
	}
	return string(body)
}

func want(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("it does not say %s\n%s", line, near(text, line))
		}
	}
}

// near is what it says of the family instead.
func near(text, line string) string {
	family, _, _ := strings.Cut(strings.Fields(line)[0], "{")
	var same []string
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, family) {
			same = append(same, l)
		}
	}
	return strings.Join(same, "")
}

func TestMetrics_Status(t *testing.T) {
	want(t, shown(t, newMetrics(t, everything())),
		"holdfast_trace_tasks_waiting 5", "holdfast_trace_tasks_sent_total 70", "holdfast_trace_tasks_dropped_total 2",
		`holdfast_build_info{node="gw-1",version="1.2.3"} 1`,
		`holdfast_agent_slot{slot="b"} 1`, "holdfast_agent_sequence 9", "holdfast_agent_trial 1", "holdfast_agent_rescue 0", "holdfast_agent_rejected_versions 2",
		"holdfast_draining 1", "holdfast_health_score 77", "holdfast_containerd_up 1",
		`holdfast_warnings{code="disk-full"} 2`,
		"process_start_time_seconds 1.0000000005e+09", "process_resident_memory_bytes 20", "process_cpu_seconds_total 1",
		"holdfast_node_cpu_busy_ratio 0.5", "holdfast_flash_written_bytes_total 4096", "holdfast_node_cores 4", "holdfast_node_memory_used_bytes 50",
		"holdfast_node_disk_free_bytes 5", "holdfast_node_temperature_celsius 60",
		`holdfast_policy_state{state="current"} 1`, "holdfast_policy_trial 1", "holdfast_policy_version 7", "holdfast_policy_age_seconds 60",
		"holdfast_policy_lease_left_seconds 3600", "holdfast_policy_lease_left_boots 20",
		"holdfast_task_slots 2", "holdfast_tasks_running 1", "holdfast_tasks_away 3", "holdfast_upstream_attempts 4",
		"holdfast_instances_suspended 1", "holdfast_suspensions_total 6",
		`holdfast_task_queue_depth{class="urgent"} 1`, `holdfast_tasks_submitted_total{class="urgent"} 10`,
		`holdfast_model_estimate_seconds{model="digits"} 0.02`, `holdfast_model_lanes{model="digits"} 2`,
		`holdfast_tenant_tasks_total{tenant="vision"} 5`, `holdfast_tenant_over_quota_total{tenant="vision"} 2`, `holdfast_tenant_denied_total{tenant="vision"} 1`,
		`holdfast_breaker_state{upstream="hq"} 2`, `holdfast_upstream_tasks_total{result="answered",upstream="hq"} 6`,
		`holdfast_upstream_tasks_total{result="spared",upstream="hq"} 3`, `holdfast_upstream_tasks_total{result="unanswered",upstream="hq"} 1`,
		`holdfast_link_up{link="fleet"} 1`, `holdfast_link_up{link="site"} 0`, `holdfast_heartbeat_interval_seconds{link="fleet"} 30`, `holdfast_outbox_entries{stream="control"} 3`,
		`holdfast_link_month_bytes{link="fleet"} 1000`, `holdfast_link_messages_total{became="heard",link="site"} 9`,
		"holdfast_inbox_files_inside 2", "holdfast_inbox_retries_total 5", `holdfast_inbox_files_total{outcome="completed"} 8`, "holdfast_inbox_unfit_total 1",
		`holdfast_workload_replicas{workload="line/digits"} 2`, `holdfast_workload_ready{workload="line/digits"} 1`,
		`holdfast_workload_restarts{workload="line/digits"} 4`, `holdfast_workload_update{phase="canary",workload="line/digits"} 1`,
		`holdfast_oneshot_warm{workload="line/digits"} 2`, `holdfast_oneshot_cold_total{workload="line/digits"} 4`,
	)
}

func TestMetrics_BareNode(t *testing.T) {
	text := shown(t, newMetrics(t, edge.Status{}))
	want(t, text, "holdfast_containerd_up 0", `holdfast_deadline_missed_total{class="urgent"} 0`)
	for _, absent := range []string{"holdfast_agent", "holdfast_policy", "holdfast_link", "holdfast_inbox", "holdfast_node_temperature", "holdfast_flash", "holdfast_heartbeat"} {
		if strings.Contains(text, absent) {
			t.Errorf("it speaks of %s", absent)
		}
	}
}

func settled(model string, class edge.Class, outcome edge.Outcome, slack time.Duration) edge.Settlement {
	now := time.Unix(1000, 0)
	s := edge.Settlement{Outcome: outcome, At: now, Queue: 2 * time.Millisecond, Compute: 20 * time.Millisecond}
	s.Task = edge.Task{Model: model, Class: class, Deadline: now.Add(slack)}
	if outcome == edge.Completed {
		s.Answer.Route = edge.AnsweredLocally
	}
	return s
}

func TestMetrics_Settled(t *testing.T) {
	m := newMetrics(t, edge.Status{})
	for range 3 {
		m.Settled(settled("digits", edge.Urgent, edge.Completed, 30*time.Millisecond))
	}
	m.Settled(settled("digits", edge.Urgent, edge.Missed, -time.Millisecond))
	m.Settled(settled("digits", edge.Batch, edge.Refused, time.Second))
	want(t, shown(t, m),
		`holdfast_tasks_total{class="urgent",model="digits",outcome="completed",route="local"} 3`,
		`holdfast_tasks_total{class="urgent",model="digits",outcome="missed",route=""} 1`,
		`holdfast_tasks_total{class="batch",model="digits",outcome="refused",route=""} 1`,
		`holdfast_deadline_missed_total{class="urgent"} 1`, `holdfast_deadline_missed_total{class="batch"} 0`,
		`holdfast_task_slack_seconds_bucket{class="urgent",le="0.025"} 0`, `holdfast_task_slack_seconds_bucket{class="urgent",le="0.05"} 3`,
		`holdfast_task_queue_seconds_count{class="urgent"} 3`, `holdfast_task_compute_seconds_bucket{class="urgent",le="0.025"} 3`,
	)
}

func TestMetrics_Recovered(t *testing.T) {
	m := newMetrics(t, edge.Status{})
	want(t, shown(t, m), "holdfast_recovery_seconds_count 0")
	m.Recovered(300 * time.Millisecond)
	m.Recovered(3 * time.Second)
	want(t, shown(t, m), "holdfast_recovery_seconds_count 2", `holdfast_recovery_seconds_bucket{le="0.5"} 1`, "holdfast_recovery_seconds_sum 3.3")
}

func TestMetrics_Bounds(t *testing.T) {
	m := newMetrics(t, edge.Status{})
	for i := range 10 * metrics.MostModels {
		m.Settled(settled(fmt.Sprintf("m%d\xff", i), edge.Normal, edge.Completed, 0))
	}
	text := shown(t, m)
	if got := strings.Count(text, "holdfast_tasks_total{"); got != metrics.MostModels+1 {
		t.Errorf("%d models have series, want %d and one for all others", got, metrics.MostModels)
	}
	want(t, text, fmt.Sprintf(`holdfast_tasks_total{class="normal",model="other",outcome="completed",route="local"} %d`, 9*metrics.MostModels))
}

// TestMetrics_Names has the linter of Prometheus look at everything there can be.
func TestMetrics_Names(t *testing.T) {
	m := newMetrics(t, everything())
	m.Settled(settled("digits", edge.Urgent, edge.Completed, time.Millisecond))
	lint := func(text string) []promlint.Problem {
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		return problems
	}
	for _, p := range lint(shown(t, m)) {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if len(lint("# TYPE holdfast_bad counter\nholdfast_bad 1\n")) == 0 {
		t.Error("the linter finds nothing wrong where something is")
	}
}

func BenchmarkSettled(b *testing.B) {
	m, err := metrics.New(func() edge.Status { return edge.Status{} })
	if err != nil {
		b.Fatal(err)
	}
	s := settled("digits", edge.Urgent, edge.Completed, 30*time.Millisecond)
	b.ReportAllocs()
	for b.Loop() {
		m.Settled(s)
	}
}

func BenchmarkScrape(b *testing.B) {
	status := everything()
	m, err := metrics.New(func() edge.Status { return status })
	if err != nil {
		b.Fatal(err)
	}
	m.Settled(settled("digits", edge.Urgent, edge.Completed, 30*time.Millisecond))
	handler := m.Handler()
	for b.Loop() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
}
