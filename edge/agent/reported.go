package agent

import (
	"context"
	goruntime "runtime"
	"sync"
	"time"

	"holdfast/edge"
)

// reported is the node's state as its fleet sees it.
func (a *Agent) reported() edge.Reported {
	now := edge.Reported{
		Agent:     a.reportedAgent(),
		System:    a.reportedSystem(),
		Policy:    reportedPolicy(policies{a}.report()),
		Workloads: map[string]edge.ReportedWorkload{},
		Models:    map[string]edge.ReportedModel{},
		Warnings:  map[string]string{},
		Draining:  a.scheduler.Snapshot().Report.Draining,
	}
	for _, view := range (node{a}).workloads() {
		now.Workloads[view.Workload.Key()] = reportedWorkload(view)
	}
	for _, name := range a.supervisor.Models() {
		meta, ready, _ := a.supervisor.Model(name)
		model := edge.ReportedModel{Ready: ready}
		if n := len(meta.Versions); n > 0 {
			model.Version = meta.Versions[n-1]
		}
		now.Models[name] = model
	}
	for _, w := range a.warnings.All() {
		now.Warnings[w.Code+"/"+w.Subject] = w.Detail
	}
	return now
}

func reportedPolicy(p edge.PolicyReport) edge.ReportedPolicy {
	return edge.ReportedPolicy{
		State: p.State, Name: p.Name, Version: p.Version, Digest: p.Digest, Root: p.Root, Trial: p.Trial,
		FailedVersion: p.FailedVersion, FailedWhy: p.FailedWhy,
	}
}

func reportedWorkload(view edge.WorkloadView) edge.ReportedWorkload {
	w := edge.ReportedWorkload{Image: view.Workload.Image, Desired: view.Workload.Replicas, Ready: view.Ready, Adjusted: view.Adjusted}
	for _, instance := range view.Instances {
		if instance.Running {
			w.Running++
		}
		w.Restarts += instance.Restarts
		if instance.State == edge.InstanceBackoff && w.Warning == "" {
			w.Warning = instance.Detail
		}
	}
	return w
}

// birth is what the node says of itself when it comes.
func (a *Agent) birth() edge.Presence {
	node := a.config.Load().Node
	since := time.Now().UTC().Truncate(time.Second)
	if floor := a.clockFloor(); since.Before(floor) {
		since = floor
	}
	return edge.Presence{
		Since: &since,
		Boot:  a.boot, Version: a.options.Version, Role: node.Role, Groups: node.Groups, Labels: node.Labels,
		Capacity: &edge.Capacity{
			CPUs: goruntime.NumCPU(), Memory: int64(a.vitals.Vitals().MemoryTotal),
			Slots: taskSlots(*a.config.Load()), Arch: goruntime.GOARCH,
		},
		Models: a.supervisor.Models(),
	}
}

// stateEvery is how soon the fleet hears of a change that makes no event.
const stateEvery = 5 * time.Second

// signal is a channel that is closed and replaced.
type signal struct {
	mu      sync.Mutex // guards changed
	changed chan struct{}
}

func newSignal() *signal { return &signal{changed: make(chan struct{})} }

// Changed returns what is closed next.
func (s *signal) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// watchState raises the signal when the reported state may have changed: after each
// event, and now and then.
func watchState(ctx context.Context, j *chronicle, changed *signal) error {
	seq := uint64(0)
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, stateEvery)
		if j.Wait(within, seq) == nil {
			seq = j.latest()
		}
		cancel()
		changed.raise()
	}
	return nil
}
