package agent

import (
	"time"

	"holdfast/edge"
)

// instanceEvent tells of what only containerd sees; starts and ends the supervisor
// tells itself, with their causes.
func (a *Agent) instanceEvent(e edge.InstanceEvent) {
	kind, told := map[edge.InstanceEventKind]edge.EventKind{
		edge.InstanceOutOfMemory: edge.EventInstanceMemory,
		edge.InstancePaused:      edge.EventInstancePaused,
		edge.InstanceResumed:     edge.EventInstanceResumed,
	}[e.Kind]
	if told {
		a.chronicle.Add(edge.Event{Kind: kind, Subject: e.Instance, Cause: "containerd", Facts: map[string]string{"workload": e.Workload}})
	}
}

func (a *Agent) daemonChanged(report edge.DaemonReport) {
	before := a.daemon.Swap(&report)
	switch {
	case report.Connected && !before.Connected:
		a.chronicle.Add(edge.Event{
			Kind: edge.EventDaemonBack, Subject: report.Address, Cause: a.howBack(),
			Facts: map[string]string{"version": report.Version},
		})
		a.warnings.Clear(codeDaemonDown, report.Address)
	case !report.Connected:
		if a.lostDaemon.IsZero() {
			a.lostDaemon = time.Now()
		}
		if before.Connected {
			a.chronicle.Add(edge.Event{Kind: edge.EventDaemonLost, Subject: report.Address, Cause: report.Error})
		}
		a.warnings.Raise(edge.Warning{
			Code: codeDaemonDown, Subject: report.Address, Detail: report.Error,
			Remedy: "start containerd (systemctl start containerd) and run `holdfast doctor`; what runs keeps running meanwhile",
		})
	}
	if a.governor != nil {
		a.governor.DaemonChanged(report.Connected)
	}
	a.supervisor.DaemonChanged(report)
	if report.Connected {
		a.want()
	}
}

// howBack says how long containerd was away, as the agent has seen it; one that is just
// started finds it there.
func (a *Agent) howBack() string {
	away := a.lostDaemon
	a.lostDaemon = time.Time{}
	if away.IsZero() {
		return "this agent has found it"
	}
	return "it was away for " + time.Since(away).Round(time.Millisecond).String()
}
