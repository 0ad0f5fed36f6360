package metrics

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/edge"
)

// prefix begins every name but those that all processes have.
const prefix = "holdfast_"

// reader shows the node's status.
type reader struct{ status func() edge.Status }

// Describe tells nothing beforehand: what there is depends on the node.
func (reader) Describe(chan<- *prometheus.Desc) {}

// Collect reads the status once.
func (r reader) Collect(to chan<- prometheus.Metric) {
	s, sheet := r.status(), sheet{to}
	sheet.node(s)
	sheet.agent(s.Agent)
	sheet.policy(s.Policy)
	sheet.queue(s.Scheduler)
	sheet.tenants(s.Tenants)
	sheet.upstreams(s.Upstreams)
	sheet.link("fleet", s.Link)
	sheet.link("site", s.Site)
	sheet.inbox(s.Inbox)
	sheet.workloads(s.Workloads)
	sheet.traces(s.Traces)
}

// sheet is what one answer is written on.
type sheet struct{ to chan<- prometheus.Metric }

// put writes one value; labels are names and values in turn.
func (s sheet) put(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
	set := prometheus.Labels{}
	for i := 0; i+1 < len(labels); i += 2 {
		set[labels[i]] = valid(labels[i+1])
	}
	s.to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, set), kind, value)
}

func (s sheet) gauge(name, help string, value float64, labels ...string) {
	s.put(prometheus.GaugeValue, prefix+name, help, value, labels...)
}

func (s sheet) counter(name, help string, value uint64, labels ...string) {
	s.put(prometheus.CounterValue, prefix+name, help, float64(value), labels...)
}

// valid is the text as a label may hold it.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// agent tells how the agent stands between its versions; one without slots has none.
func (s sheet) agent(r edge.AgentReport) {
	if r.Slot == "" {
		return
	}
	s.gauge("agent_slot", "Which of its programs the agent runs; always 1.", 1, "slot", r.Slot)
	s.gauge("agent_sequence", "Sequence of the release that runs; 0: what the node was flashed with.", float64(r.Sequence))
	s.gauge("agent_trial", "Whether the agent's version is new, and is left unless it is well for a while.", truth(r.Trial))
	s.gauge("agent_rescue", "Whether the program that came with the node stands in for a version.", truth(r.Rescue != ""))
	s.gauge("agent_rejected_versions", "Versions of the agent that were found bad here.", float64(len(r.Rejected)))
}

func (s sheet) node(n edge.Status) {
	s.gauge("build_info", "What runs; always 1.", 1, "version", n.Version, "node", n.Node)
	s.gauge("draining", "Whether no new tasks are taken.", truth(n.Draining))
	s.gauge("containerd_up", "Whether containerd answers.", truth(n.Containerd.Connected))
	codes := map[string]int{}
	for _, w := range n.Warnings {
		codes[w.Code]++
	}
	for code, count := range codes {
		s.gauge("warnings", "Warnings that stand.", float64(count), "code", code)
	}
	s.gauge("health_score", "100 less what weighs on the node; the policy says how much.", n.Health.Score)
	v := n.Vitals
	s.put(prometheus.GaugeValue, "process_start_time_seconds", "When the agent was started.", unix(n.Started))
	s.put(prometheus.GaugeValue, "process_resident_memory_bytes", "Memory of the agent.", float64(v.AgentRSS))
	s.put(prometheus.CounterValue, "process_cpu_seconds_total", "Processor time of the agent.", v.AgentCPU.Seconds())
	if v.AgentWritten > 0 {
		s.counter("flash_written_bytes_total", "Bytes the agent has had written to storage since its start.", v.AgentWritten)
	}
	s.gauge("node_cpu_busy_ratio", "Share of all cores that is busy.", v.CPU)
	s.gauge("node_cores", "Cores of the machine.", float64(v.Cores))
	s.gauge("node_memory_bytes", "Memory of the machine.", float64(v.MemoryTotal))
	s.gauge("node_memory_used_bytes", "Memory that cannot be reclaimed.", float64(v.MemoryUsed))
	s.gauge("node_disk_bytes", "Size of the file system that holds the state.", float64(v.DiskTotal))
	s.gauge("node_disk_free_bytes", "What is free of it.", float64(v.DiskFree))
	if v.Temperature != 0 {
		s.gauge("node_temperature_celsius", "The hottest sensor.", v.Temperature)
	}
}

func (s sheet) policy(p edge.PolicyReport) {
	if !p.Governed {
		return
	}
	s.gauge("policy_state", "What governs the node; 1 for the state it is in.", 1, "state", p.State)
	s.gauge("policy_trial", "Whether it is on trial, and taken back if it cannot be applied.", truth(p.Trial))
	s.gauge("policy_version", "Version of the policy in force.", float64(p.Version))
	s.gauge("policy_age_seconds", "How long it has been in force.", p.Age.Seconds())
	s.gauge("policy_lease_left_seconds", "Hours of running that its lease has left.", p.LeaseLeft.Seconds())
	s.gauge("policy_lease_left_boots", "Boots that its lease has left.", float64(p.LeaseBoots))
}

func (s sheet) queue(q edge.QueueReport) {
	s.gauge("task_slots", "Tasks that may run at once.", float64(q.Slots))
	s.gauge("tasks_running", "Tasks that run.", float64(q.Running))
	s.gauge("tasks_away", "Tasks that only an upstream is asked for.", float64(q.Away))
	s.gauge("upstream_attempts", "Questions to upstreams under way.", float64(q.Attempts))
	s.gauge("instances_suspended", "Instances halted in favour of more urgent tasks.", float64(q.Suspended))
	s.counter("suspensions_total", "Times an instance was halted in favour of a more urgent task.", q.Suspensions)
	for _, c := range q.Classes {
		s.gauge("task_queue_depth", "Tasks that wait.", float64(c.Waiting), "class", c.Class.String())
		s.counter("tasks_submitted_total", "Tasks that were asked for.", c.Submitted, "class", c.Class.String())
	}
	for _, m := range q.Models {
		s.gauge("model_estimate_seconds", "Time of a task that the plan counts with.", m.Estimate.Seconds(), "model", m.Model)
		s.gauge("model_lanes", "Tasks of the model that may run at once.", float64(m.Lanes), "model", m.Model)
	}
}

func (s sheet) tenants(tenants []edge.TenantReport) {
	for _, t := range tenants {
		s.counter("tenant_tasks_total", "Tasks a tenant has asked for.", t.Submitted, "tenant", t.Tenant)
		s.counter("tenant_over_quota_total", "Tasks refused because the tenant's rate was used up.", t.OverQuota, "tenant", t.Tenant)
		s.counter("tenant_denied_total", "Tasks the policy does not allow the tenant.", t.Denied, "tenant", t.Tenant)
	}
}

// breakers are the states as numbers, the worst last.
var breakers = map[edge.UpstreamState]float64{edge.UpstreamUp: 0, edge.UpstreamProbed: 1, edge.UpstreamDown: 2}

func (s sheet) upstreams(upstreams []edge.UpstreamReport) {
	for _, u := range upstreams {
		s.gauge("breaker_state", "0 closed: the upstream is asked; 1 half open: it is tried; 2 open: it is left alone.", breakers[u.State], "upstream", u.Name)
		const name, help = "upstream_tasks_total", "Tasks for an upstream, by what became of them there; spared ones were not sent while its breaker was open."
		s.counter(name, help, u.Answered, "upstream", u.Name, "result", "answered")
		s.counter(name, help, u.Spared, "upstream", u.Name, "result", "spared")
		s.counter(name, help, u.Asked-u.Spared-u.Answered, "upstream", u.Name, "result", "unanswered")
	}
}

func (s sheet) link(to string, l *edge.LinkReport) {
	if l == nil {
		return
	}
	s.gauge("link_up", "Whether there is a connection to the broker.", truth(l.Phase == "up"), "link", to)
	for _, stream := range l.Streams {
		s.gauge("outbox_entries", "What the fleet is still to get.", float64(stream.Waiting), "stream", stream.Name)
	}
	if to == "fleet" {
		s.gauge("heartbeat_interval_seconds", "Silence on the link after which the broker is asked whether it is there.", l.Beat.Seconds(), "link", to)
		s.gauge("link_month_bytes", "Bytes on the wire this month, both ways.", float64(l.Bytes), "link", to)
		s.gauge("link_month_budget_bytes", "What they may be; 0 is unbounded.", float64(l.Budget), "link", to)
	}
	for _, became := range slices.Sorted(maps.Keys(l.Messages)) {
		s.counter("link_messages_total", "Messages of the site, by what became of them.", l.Messages[became], "link", to, "became", became)
	}
}

func (s sheet) inbox(r *edge.InboxReport) {
	if r == nil {
		return
	}
	s.gauge("inbox_files_inside", "Files that are being answered.", float64(r.Inside))
	s.counter("inbox_retries_total", "Times a file stayed, as there was no room for it.", r.Again)
	for _, outcome := range edge.Outcomes {
		s.counter("inbox_files_total", "Files and inputs of triggers, by what became of them.", r.Files[outcome.String()], "outcome", outcome.String())
	}
	s.counter("inbox_unfit_total", "Of these, what could not be asked.", r.Files["unfit"])
}

func (s sheet) traces(r *edge.TraceReport) {
	if r == nil {
		return
	}
	s.gauge("trace_tasks_waiting", "Tasks that the collector of traces is still to be told of.", float64(r.Waiting))
	s.counter("trace_tasks_sent_total", "Tasks that the collector of traces has taken.", r.Sent)
	s.counter("trace_tasks_dropped_total", "Tasks that were to be told to the collector of traces, and were not.", r.Dropped)
}

func (s sheet) workloads(views []edge.WorkloadView) {
	for _, view := range views {
		of := []string{"workload", view.Workload.Key()}
		s.gauge("workload_replicas", "Instances that are to run.", float64(view.Workload.Replicas), of...)
		s.gauge("workload_ready", "Instances that are ready.", float64(view.Ready), of...)
		restarts := 0
		for _, instance := range view.Instances {
			restarts += instance.Restarts
		}
		s.gauge("workload_restarts", "Restarts of its instances; one that has been well for long counts from zero again.", float64(restarts), of...)
		if view.Update != nil {
			s.gauge("workload_update", "An update that is not over; 1 for the phase it is in.", 1, append(of, "phase", string(view.Update.Phase))...)
		}
		if pool := view.OneShot; pool != nil {
			s.gauge("oneshot_warm", "Containers that stand ready for a tool's tasks.", float64(pool.Warm), of...)
			s.gauge("oneshot_busy", "Tasks of the tool at work.", float64(pool.Busy), of...)
			s.counter("oneshot_tasks_total", "Tasks of the tool since the agent started.", pool.Runs, of...)
			s.counter("oneshot_cold_total", "Of these, tasks for which no container stood ready.", pool.Cold, of...)
		}
	}
}
