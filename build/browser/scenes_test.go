package browser_test

import (
	"fmt"
	"time"

	"holdfast/edge"
)

// scene is a state a node can be in.
type scene struct {
	set  func(s *stage, now time.Time)        // before the past is played
	past func(s *stage, before time.Duration) // once for each second of the past, so long before now
}

// markup is what a name must not become.
const markup = `<img src=x onerror="window.pwned=1"><b>digits</b>`

// scenes are all of them, by name.
func scenes() map[string]scene {
	overload := func(s *stage, before time.Duration) {
		if before <= 70*time.Second && before > 69*time.Second {
			s.sim.change(heavy())
		}
	}
	cutOff := func(s *stage, before time.Duration) {
		if before <= 244*time.Second && s.link == "up" {
			s.link, s.cut = "down", s.sim.now
		}
	}
	return map[string]scene{
		"healthy":    {},
		"overloaded": {past: overload},
		"cutoff":     {past: cutOff},
		"both": {past: func(s *stage, before time.Duration) {
			overload(s, before)
			cutOff(s, before)
		}},
		"nocontainerd": {set: with(func(st *edge.Status) {
			st.Containerd = edge.DaemonReport{Address: "/run/containerd/containerd.sock", Namespace: "holdfast", Error: "connection refused"}
			st.Warnings = append(st.Warnings, edge.Warning{Code: "containerd-down", Subject: "/run/containerd/containerd.sock", Detail: "connection refused", Remedy: "systemctl status containerd", Since: st.Vitals.At.Add(-40 * time.Second)})
		})},
		"nopolicy": {set: with(func(st *edge.Status) {
			st.Policy = edge.PolicyReport{Governed: true, State: "none", Root: 1}
			st.Workloads = nil
		})},
		"markup": {set: func(s *stage, now time.Time) {
			with(func(st *edge.Status) {
				st.Node = markup
				st.Policy.Name, st.Policy.Signers = markup, []string{markup}
				st.Workloads[0].Workload.App, st.Workloads[0].Workload.Name, st.Workloads[0].Workload.Image = "", markup, markup
				st.Workloads[0].Instances[0].ID, st.Workloads[0].Instances[0].Detail = markup, markup
				st.Warnings = []edge.Warning{{Code: markup, Subject: markup, Detail: markup, Remedy: markup, Since: now}}
				st.Upstreams[0].Name, st.Upstreams[0].LastError, st.Upstreams[0].State = markup, markup, edge.UpstreamDown
				st.Tenants[0].Tenant, st.Scheduler.Models[0].Model = markup, markup
				st.Agent = edge.AgentReport{
					Slot: markup, Previous: markup, Rescue: markup, Trial: true, Unwell: markup, Phase: markup, Wanted: markup, Origin: markup,
					Last: edge.AgentOutcome{Version: markup, Result: markup, Why: markup},
				}
				st.System = &edge.SystemReport{
					Version: markup, Slot: markup, Trouble: markup, Phase: markup, Wanted: markup, Origin: markup, Waiting: markup,
					Last: &edge.SystemOutcome{Version: markup, Why: markup},
				}
				st.Link.Broker, st.Link.Detail, st.Link.Phase = markup, markup, "waiting"
			})(s, now)
			for c := range s.sim.loads {
				s.sim.loads[c].model = markup
			}
		}},
		"burst": {set: func(s *stage, _ time.Time) { s.sim.slots = 2 }, past: func(s *stage, before time.Duration) {
			if before <= 40*time.Second && before > 39*time.Second {
				s.sim.change(storm())
			}
		}},
		"agenttrial": {set: func(s *stage, now time.Time) {
			s.status = func(s *stage, now time.Time) edge.Status {
				st := healthy(s, now)
				st.Version = "1.5.0"
				st.Agent = edge.AgentReport{Slot: "a", Sequence: 15, Previous: "1.4.2", Trial: true, TrialUntil: s.wall(now).Add(9*time.Minute + 30*time.Second), TriesLeft: 1}
				return st
			}
		}},
		"agentleft": {set: with(func(st *edge.Status) {
			st.Agent = edge.AgentReport{
				Slot: "factory", Phase: edge.AgentFetching, Wanted: "1.5.1", Origin: "policy line-3 version 13", Done: 9 << 20, Total: 24 << 20,
				Last: edge.AgentOutcome{Version: "1.5.0", Result: edge.AgentLeft, Why: "it was given 2 starts and confirmed itself in none"},
			}
		})},
		"systemback": {set: with(func(st *edge.Status) {
			st.System = &edge.SystemReport{
				Version: "6", Slot: "A", Phase: edge.SystemInstalling, Wanted: "8", Origin: "policy line-3 version 13", Done: 40, Total: 100,
				Last: &edge.SystemOutcome{Version: "7", Why: "the former one runs"},
			}
		})},
		"tokened": {set: func(s *stage, _ time.Time) { s.token = "open-sesame-0123456789" }},
		"idle":    {set: func(s *stage, _ time.Time) { s.sim.change([3]load{}) }},
	}
}

// with has a scene say something else of the node.
func with(change func(st *edge.Status)) func(s *stage, now time.Time) {
	return func(s *stage, _ time.Time) {
		s.status = func(s *stage, now time.Time) edge.Status {
			st := healthy(s, now)
			change(&st)
			return st
		}
	}
}

// ordinary is what a line asks of its gateway on a good day: two thirds of what it can.
func ordinary() [3]load {
	return [3]load{
		edge.Urgent: {model: "weld", rate: 1.6, service: 45 * time.Millisecond, deadline: 250 * time.Millisecond},
		edge.Normal: {model: "digits", rate: 1.4, service: 320 * time.Millisecond, deadline: 2500 * time.Millisecond},
		edge.Batch:  {model: "sheets", rate: 0.16, service: 3400 * time.Millisecond, deadline: 2 * time.Minute},
	}
}

// heavy is more than it can.
func heavy() [3]load {
	l := ordinary()
	l[edge.Urgent].rate = 3
	l[edge.Normal].rate = 6.6
	return l
}

// storm is a thousand tasks a second.
func storm() [3]load {
	return [3]load{
		edge.Urgent: {model: "weld", rate: 200, service: 900 * time.Microsecond, deadline: 50 * time.Millisecond},
		edge.Normal: {model: "digits", rate: 700, service: 900 * time.Microsecond, deadline: 200 * time.Millisecond},
		edge.Batch:  {model: "sheets", rate: 100, service: 900 * time.Microsecond, deadline: 2 * time.Second},
	}
}

// healthy is a node on which nothing is wrong, but for what the simulation and the link
// of its stage say.
func healthy(s *stage, now time.Time) edge.Status {
	at := s.wall(now)
	st := edge.Status{
		Node: "line-3-gw", Version: "1.4.0", PID: s.pid, Started: s.started.Round(0),
		Policy: edge.PolicyReport{
			Governed: true, State: "current", Name: "line-3", Version: 12, Digest: "sha256:5f2c9a1b7d3e4f60812a", Signers: []string{"release-1", "plant-2"},
			Root: 2, Since: at.Add(-19 * time.Hour), Age: 19 * time.Hour, Lease: edge.LeaseTerms{Hours: 72, Boots: 8}, LeaseLeft: 53 * time.Hour, LeaseBoots: 8, Kept: true,
		},
		Containerd: edge.DaemonReport{Connected: true, Version: "2.2.9", Address: "/run/containerd/containerd.sock", Namespace: "holdfast"},
		Scheduler:  s.queue(), Workloads: s.workloads(at), Warnings: []edge.Warning{},
		Upstreams: []edge.UpstreamReport{{Name: "plant", URL: "https://plant.example", State: edge.UpstreamUp, Since: at.Add(-7 * time.Hour), Asked: 41_210, Answered: 41_187, Spared: 12}},
		Tenants:   []edge.TenantReport{{Tenant: "vision", Submitted: 88_214}, {Tenant: "_default", Submitted: 1_204, OverQuota: 3}},
		Vitals:    vitals(at),
		Health:    edge.HealthReport{Score: 88, CPU: 31, Memory: 42, Latency: 180 * time.Millisecond},
	}
	st.Link = s.report(now)
	if s.link == "down" {
		st.Warnings = append(st.Warnings, edge.Warning{Code: "link-down", Subject: st.Link.Broker, Detail: st.Link.Detail, Remedy: "the node goes on alone; see whether the broker can be reached", Since: s.cut.Round(0)})
	}
	return st
}

func vitals(at time.Time) edge.Vitals {
	return edge.Vitals{
		At: at, Uptime: 76 * time.Hour, Cores: 4, CPU: 0.31, Load1: 1.2, MemoryTotal: 1 << 30, MemoryUsed: 420 << 20,
		DiskTotal: 14 << 30, DiskFree: 9 << 30, Temperature: 53, AgentRSS: 21 << 20,
	}
}

// queue is what the scheduler would say.
func (s *stage) queue() edge.QueueReport {
	q := edge.QueueReport{Slots: s.sim.slots, Order: "plan", Waiting: len(s.sim.queue), Suspended: len(s.sim.halted), Settled: map[string]uint64{}}
	for _, j := range s.sim.run {
		if j != nil {
			q.Running++
		}
	}
	for _, c := range edge.Classes {
		l := s.sim.loads[c]
		settled := map[string]uint64{}
		for outcome, n := range s.sim.settled[c] {
			settled[outcome] = n
			q.Settled[outcome] += n
		}
		q.Classes = append(q.Classes, edge.ClassReport{Class: c, Waiting: s.sim.waiting(c), Submitted: s.sim.submitted[c], Settled: settled})
		if l.model != "" {
			q.Models = append(q.Models, edge.ModelReport{Model: l.model, Pool: "line/" + l.model, Lanes: 2, Estimate: l.service * 5 / 4, Firm: l.service * 3 / 2, Runs: int(settled["completed"]), Median: l.service, P90: l.service * 6 / 5, P99: l.service * 13 / 10, Bias: 0.97})
		}
	}
	return q
}

// report is the link to the fleet.
func (s *stage) report(now time.Time) *edge.LinkReport {
	l := &edge.LinkReport{
		Broker: "tls://fleet.example:8883", Phase: "up", Since: s.started.Add(time.Minute).Round(0), Session: "b41f", Confirms: true, Heard: s.wall(now.Add(-4 * time.Second)),
		Bytes: 37 << 20, Budget: 500 << 20,
		Streams: []edge.StreamReport{{Name: "control", Epoch: "e", Next: 412, Confirmed: 411}, {Name: "telemetry", Epoch: "e", Next: 90_214 + s.outbox, Confirmed: 90_213, Waiting: s.outbox}},
	}
	if s.link == "down" {
		// Taken down when it happened: a clock that is set later does not change it.
		l.Phase, l.Since, l.Heard = "waiting", s.cut.Round(0), s.cut.Add(-4*time.Second).Round(0)
		l.Detail = "cannot reach fleet.example:8883: no route to host"
	}
	return l
}

func (s *stage) workloads(at time.Time) []edge.WorkloadView {
	one := func(name, image string, replicas, ready, restarts int) edge.WorkloadView {
		w := edge.WorkloadView{Workload: edge.Workload{App: "line", Name: name, Image: image, Replicas: replicas}, Ready: ready}
		for i := range replicas {
			view := edge.InstanceView{State: edge.InstanceReady, Restarts: restarts * (1 - min(i, 1)), Usage: &edge.Usage{CPU: time.Duration(float64(at.UnixMilli()%1e9) * (0.08 + 0.05*float64(i)) * 1e6), Memory: uint64(38+7*i) << 20, MemoryLimit: 128 << 20}}
			view.ID, view.Workload, view.Image, view.Running, view.Started = fmt.Sprintf("line-%s-%d", name, i+1), "line/"+name, image, true, at.Add(-21*time.Hour)
			w.Instances = append(w.Instances, view)
		}
		return w
	}
	return []edge.WorkloadView{
		one("digits", "registry.example/digits:1.8", 2, 2, 0),
		one("weld", "registry.example/weld:3.1", 1, 1, 1),
		one("sheets", "registry.example/sheets:2.0", 1, 1, 0),
	}
}

// history is what has happened before.
func history(now time.Time) []edge.Event {
	list := []edge.Event{
		{At: now.Add(-20 * time.Hour), Kind: edge.EventPolicyInForce, Subject: "line-3", Cause: "fleet", Facts: map[string]string{"version": "12"}},
		{At: now.Add(-9 * time.Hour), Kind: edge.EventInstanceExited, Subject: "line-weld-1", Cause: "ended by SIGSEGV"},
		{At: now.Add(-9 * time.Hour).Add(400 * time.Millisecond), Kind: edge.EventInstanceStarted, Subject: "line-weld-1", Cause: "it had ended"},
		{At: now.Add(-9 * time.Hour).Add(time.Second), Kind: edge.EventInstanceReady, Subject: "line-weld-1"},
		{At: now.Add(-7 * time.Hour), Kind: edge.EventUpstreamLost, Subject: "plant", Cause: "5 attempts failed in a row"},
		{At: now.Add(-7 * time.Hour).Add(30 * time.Second), Kind: edge.EventUpstreamBack, Subject: "plant", Cause: "3 probes answered"},
		{At: now.Add(-3 * time.Hour), Kind: edge.EventCommandEnded, Subject: "restart-41", Cause: "command-1", Facts: map[string]string{"verb": "restart", "status": "succeeded"}},
		{At: now.Add(-12 * time.Minute), Kind: edge.EventTaskMissed, Subject: "digits", Cause: "its instance was restarted"},
	}
	for i := range list {
		list[i].Seq = uint64(i + 101)
	}
	return list
}
