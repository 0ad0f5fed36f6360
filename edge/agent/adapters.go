package agent

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/localapi"
	"holdfast/policycache"
	"holdfast/runtime"
	"holdfast/scheduler"
)

var (
	_ localapi.Inference = inference{}
	_ localapi.Node      = node{}
	_ localapi.Logs      = logs{}
	_ localapi.Images    = admitImages{}
	_ localapi.Policies  = policies{}

	_ scheduler.Suspender = (*runtime.Supervisor)(nil)
)

// inference lets the local API hand tasks to the scheduler.
type inference struct {
	scheduler *scheduler.Scheduler
	share     float64 // of the traces begun here, that is sampled
}

// Infer submits the task and waits until it has settled.
func (i inference) Infer(ctx context.Context, t edge.Task) edge.Settlement {
	t.Trace = begun(t.Trace, i.share)
	ticket, err := i.scheduler.Submit(ctx, t)
	if err != nil {
		now := time.Now()
		return edge.Settlement{Task: t, Outcome: edge.Refused, Err: err, At: now, Queue: now.Sub(t.Arrived)}
	}
	return i.scheduler.Wait(ctx, ticket)
}

// inference is where every task goes that comes from outside. Nothing is sampled for nobody.
func (a *Agent) inference(c config.Config) inference {
	i := inference{scheduler: a.scheduler}
	if c.Trace.OTLP != "" {
		i.share = c.Trace.Share
	}
	return i
}

// Cancel gives a task up.
func (i inference) Cancel(id string) bool { return i.scheduler.Cancel(id) }

// Explain says what would become of the task without submitting it.
func (i inference) Explain(t edge.Task) error { return i.scheduler.Explain(t) }

// node answers the local API's questions about the agent as a whole.
type node struct{ *Agent }

// Status is the node in one document.
func (n node) Status() edge.Status {
	snapshot := n.scheduler.Glance(0) // a line of thousands is none of its matter
	snapshot.Report.Suspended, snapshot.Report.Suspensions = n.supervisor.Suspensions()
	return edge.Status{
		Node:       n.config.Load().Node.Name,
		Version:    n.options.Version,
		PID:        n.pid,
		Started:    n.options.Started,
		Draining:   snapshot.Report.Draining,
		Agent:      n.updater.Report(),
		System:     n.systems.Report(),
		Policy:     policies(n).report(),
		Containerd: *n.daemon.Load(),
		Link:       n.linkReport(),
		Site:       n.siteReport(),
		Inbox:      n.inboxReport(),
		Scheduler:  snapshot.Report,
		Upstreams:  n.router.Reports(),
		Tenants:    snapshot.Tenants,
		Workloads:  n.workloads(),
		Warnings:   n.warnings.All(),
		Vitals:     n.vitals.Vitals(),
		Health:     n.wellness.Report(),
		Traces:     n.traceReport(),
		SiteFile:   n.siteFile.Load(),
	}
}

// Vitals is the latest sample.
func (n node) Vitals() edge.Vitals { return n.vitals.Vitals() }

// Tasks lists what runs, what waits in the order of its turn, and what settled
// lately, the latest first.
func (n node) Tasks() []edge.TaskView {
	snapshot := n.scheduler.Snapshot()
	settled := n.recent.All()
	slices.Reverse(settled)
	return slices.Concat(snapshot.Running, snapshot.Waiting, settled)
}

// workloads lists what should run and what does, and what of it commands have adjusted.
// The list belongs to whoever asked; what is in it is shared.
func (n node) workloads() []edge.WorkloadView {
	views := slices.Clone(n.supervisor.Workloads())
	if n.governor == nil {
		return views
	}
	under := tenureOf(n.governor.store.Snapshot())
	for i, view := range views {
		views[i].Adjusted = n.governor.adjust.Adjusted(under, view.Workload.Key())
	}
	return views
}

// Workloads lists what should run and what does, with what each running instance
// consumes.
func (n node) Workloads() []edge.WorkloadView {
	views := n.workloads()
	if !n.daemon.Load().Connected {
		return views
	}
	ctx, cancel := context.WithTimeout(context.Background(), usageWithin)
	defer cancel()
	for i, view := range views {
		views[i].Instances = slices.Clone(view.Instances) // the supervisor's own is shared
		for j, instance := range views[i].Instances {
			if !instance.Running {
				continue
			}
			if usage, err := n.driver.Usage(ctx, instance.ID); err == nil {
				views[i].Instances[j].Usage = &usage
			}
		}
	}
	return views
}

// usageWithin bounds measuring all instances: a list without figures beats none.
const usageWithin = time.Second

// Restart restarts a workload or one instance.
func (n node) Restart(ctx context.Context, target string) error {
	return n.supervisor.Restart(ctx, target)
}

// Drain lets no new task in and waits for those inside.
func (n node) Drain(ctx context.Context) error { return n.scheduler.Drain(ctx) }

// Undrain lets tasks in again.
func (n node) Undrain() { n.scheduler.Undrain() }

// policies lets the local API show what governs the node, and bring another policy.
type policies struct{ *Agent }

// Policy is what governs the node, with its document.
func (p policies) Policy() (edge.PolicyView, error) {
	if p.governor == nil {
		return edge.PolicyView{PolicyReport: p.report()}, nil
	}
	return p.governor.Policy()
}

// ApplyPolicy takes a signed policy or root document.
func (p policies) ApplyPolicy(ctx context.Context, envelope []byte) (edge.PolicyReport, error) {
	if p.governor == nil {
		return p.report(), p.trust.WhyUngoverned()
	}
	return p.governor.Apply(ctx, envelope)
}

func (p policies) report() edge.PolicyReport {
	if p.governor == nil {
		return edge.PolicyReport{Governed: p.trust.Governs(), State: string(policycache.OriginNone)}
	}
	return p.governor.report()
}

// logs finds the output of an instance, or of the newest instance of a workload.
type logs struct{ *Agent }

// Logs opens the last lines of the target's output.
func (l logs) Logs(ctx context.Context, target string, lines int, follow bool) (io.ReadCloser, error) {
	id, err := whoseOutput(l.supervisor.Workloads(), target)
	if err != nil {
		return nil, err
	}
	if follow {
		return l.driver.LogFollow(ctx, id, lines)
	}
	return l.driver.LogTail(ctx, id, lines)
}

// whoseOutput turns a workload into the id of its newest instance; an instance
// stands for itself.
func whoseOutput(views []edge.WorkloadView, target string) (string, error) {
	var newest edge.InstanceView
	for _, view := range views {
		named := view.Workload.Key() == target || view.Workload.Name == target
		for _, instance := range view.Instances {
			switch {
			case instance.ID == "": // none was started yet
			case instance.ID == target:
				return target, nil
			case named && (newest.ID == "" || instance.Started.After(newest.Started)):
				newest = instance
			}
		}
	}
	if newest.ID == "" {
		return "", edge.WithHint(
			fmt.Errorf("cannot show output of %q: no instance by that name, or of a workload by that name: %w", target, edge.ErrNotFound),
			"`holdfast workloads` lists both")
	}
	return newest.ID, nil
}

// images lets the local API reach the image store, and makes an event of what is
// put there.
type images struct {
	runtime.ImageStore
	agent *Agent
	cause string // who asks
}

// Import reads an archive into the store.
func (i images) Import(ctx context.Context, archive io.Reader) ([]edge.Image, error) {
	imported, err := i.ImageStore.Import(ctx, archive)
	i.cause = cmp.Or(edge.CallerOf(ctx), i.cause)
	i.tell(imported)
	return imported, err
}

// importUnasked is Import where the node helps itself, whoever's request that is for.
func (i images) importUnasked(ctx context.Context, archive io.Reader) ([]edge.Image, error) {
	return i.Import(edge.WithCaller(ctx, ""), archive)
}

// tell makes events of images that came, and has starts tried again which may have
// waited for them.
func (i images) tell(came []edge.Image) {
	for _, image := range came {
		i.agent.chronicle.Add(edge.Event{
			Kind: edge.EventImageImported, Subject: image.Name, Cause: i.cause,
			Facts: map[string]string{"digest": image.Digest},
		})
	}
	if len(came) > 0 {
		i.agent.supervisor.Retry()
	}
}

// admitImages lets images in only while the policy lets new ones in.
type admitImages struct{ images }

// Import reads an archive into the store.
func (i admitImages) Import(ctx context.Context, archive io.Reader) ([]edge.Image, error) {
	if err := i.agent.mayImport(); err != nil {
		return nil, err
	}
	return i.images.Import(ctx, archive)
}

// mayImport refuses new images on a node that has been without a sign of its fleet
// for longer than its policy allows.
func (a *Agent) mayImport() error {
	if a.governor == nil || !a.governor.store.Snapshot().Degraded() {
		return nil
	}
	return &edge.Refusal{
		Reason: edge.ReasonDenied,
		Detail: "the lease of the policy has ended: new images are refused until the fleet is heard from or a policy with a longer lease is applied",
	}
}
