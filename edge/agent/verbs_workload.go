package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
)

// workloadResult is what start, stop, scale and restart have to show.
type workloadResult struct {
	Workload string `json:"workload"`
	Declared int    `json:"declared"` // replicas the policy says
	Replicas int    `json:"replicas"` // wanted now
	Running  int    `json:"running"`
	Ready    int    `json:"ready"`
	Ended    int    `json:"ended,omitempty"` // and not to be restarted
}

// isDone tells whether there are as many as are wanted, and no more.
func (r *workloadResult) isDone() bool {
	return r.Running <= r.Replicas && r.Ready+r.Ended >= r.Replicas && r.Running+r.Ended >= r.Replicas
}

// start undoes a stop: as many as the policy says are wanted, and at least one. It
// returns when they are ready.
func (v *verbs) start(ctx context.Context, o order) (any, error) {
	args, err := argsOf[targetArgs](o.Command)
	if err != nil {
		return nil, err
	}
	return v.adjust(ctx, o, args.Target, func(declared, now int) int {
		if now > 0 {
			return now // it is started; a scale stands
		}
		return max(declared, 1)
	})
}

// stop ends all instances of a workload and returns when they have ended.
func (v *verbs) stop(ctx context.Context, o order) (any, error) {
	args, err := argsOf[targetArgs](o.Command)
	if err != nil {
		return nil, err
	}
	return v.adjust(ctx, o, args.Target, func(int, int) int { return 0 })
}

// scale sets how many instances there are, and returns when there are so many.
func (v *verbs) scale(ctx context.Context, o order) (any, error) {
	args, err := argsOf[scaleArgs](o.Command)
	if err != nil {
		return nil, err
	}
	return v.adjust(ctx, o, args.Target, func(int, int) int { return *args.Replicas })
}

// adjust keeps another number of replicas for a workload, puts it into force, and waits
// until it is so. wanted gets the number the policy says and the one that stands.
func (v *verbs) adjust(ctx context.Context, o order, target string, wanted func(declared, now int) int) (any, error) {
	in := v.governor.store.Snapshot()
	if in.Policy == nil {
		return nil, noPolicy("adjust workload " + target)
	}
	w, err := workloadNamed(in.Policy.Workloads, target)
	if err != nil {
		return nil, err
	}
	under := tenureOf(in)
	now := v.governor.adjust.Replicas(under, w)
	n := wanted(w.Replicas, now)
	if n > now {
		if err := v.permits(in.Policy, under, w, n); err != nil {
			return nil, err
		}
	}
	if err := v.governor.adjust.Set(ctx, under, w, n); err != nil {
		return nil, err
	}
	if n != now {
		v.chronicle.Add(edge.Event{
			Kind: edge.EventWorkloadsChanged, Subject: w.Key(), Cause: o.cause(),
			Facts: map[string]string{"replicas": fmt.Sprint(n), "before": fmt.Sprint(now)},
		})
	}
	v.governor.Readjust(ctx)
	if !tenureOf(v.governor.store.Snapshot()).is(under) {
		return nil, fmt.Errorf("cannot adjust workload %q: another policy has come into force meanwhile: %w", w.Key(), edge.ErrUnavailable)
	}
	return v.awaitCount(ctx, o, w, n)
}

func noPolicy(what string) error {
	return edge.WithHint(fmt.Errorf("cannot %s: no policy is in force: %w", what, edge.ErrUnavailable), "apply a signed policy first")
}

// workloadNamed finds a workload by its key, or by its name where that is enough.
func workloadNamed(workloads []edge.Workload, target string) (edge.Workload, error) {
	var found []edge.Workload
	var keys []string
	for _, w := range workloads {
		if w.Key() == target {
			return w, nil
		}
		if w.Name == target {
			found = append(found, w)
		}
		keys = append(keys, w.Key())
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return edge.Workload{}, edge.WithHint(fmt.Errorf("no workload %.120q: %w", target, edge.ErrNotFound), "this node has "+someOf(keys))
	}
	return edge.Workload{}, edge.WithHint(fmt.Errorf("%d workloads are named %.120q: %w", len(found), target, edge.ErrInvalid),
		"name one by its key: "+found[0].Key()+", "+found[1].Key())
}

// someOf lists as many names as a person reads.
func someOf(names []string) string {
	const most = 16
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// permits tells whether a policy lets a workload have so many replicas.
func (v *verbs) permits(policy *edge.Policy, under tenure, w edge.Workload, n int) error {
	most, whose := maxReplicas, "where the policy has no sla.maxReplicas"
	if policy.SLA.MaxReplicas > 0 {
		most, whose = policy.SLA.MaxReplicas, "by the policy's sla.maxReplicas"
	}
	if most = max(most, w.Replicas); n > most {
		return &edge.Refusal{
			Reason: edge.ReasonDenied,
			Detail: fmt.Sprintf("replicas: %d of workload %s are more than %d, the most %s", n, w.Key(), most, whose),
		}
	}
	grown := *policy
	grown.Workloads = v.governor.adjust.Over(under, policy.Workloads)
	w.Replicas = n
	violations := grown.Admit(w)
	if len(violations) == 0 {
		return nil
	}
	return &edge.Refusal{
		Reason: edge.ReasonDenied,
		Detail: fmt.Sprintf("replicas: %d of workload %s: %v", n, w.Key(), violations[0]),
	}
}

// show counts what the supervisor has of a workload.
func (v *verbs) show(w edge.Workload, n int) *workloadResult {
	result := &workloadResult{Workload: w.Key(), Declared: w.Replicas, Replicas: n}
	views := v.supervisor.Workloads()
	i := slices.IndexFunc(views, func(view edge.WorkloadView) bool { return view.Workload.Key() == w.Key() })
	if i < 0 {
		return result
	}
	result.Ready = views[i].Ready
	for _, instance := range views[i].Instances {
		if views[i].IsCanary(instance) {
			continue // it stands beside them for a while
		}
		switch {
		case isAlive(instance):
			result.Running++
		case instance.State == edge.InstanceEnded:
			result.Ended++
		}
	}
	return result
}

// instanceOf takes the workload off a target that names an instance after it, as
// app/name/instance. Instances are named uniquely, without slashes.
func instanceOf(target string) string {
	if parts := strings.Split(target, "/"); len(parts) == 3 {
		return parts[2]
	}
	return target
}

// isAlive tells whether an instance has a process, or is about to.
func isAlive(i edge.InstanceView) bool {
	return i.State != edge.InstanceBackoff && i.State != edge.InstanceEnded
}

// lookEvery is how often a verb that waits looks: a person does not see the difference.
const lookEvery = 100 * time.Millisecond

// awaitCount waits until a workload has as many instances as are wanted. If ctx ends
// first, or containerd is away, the number stands all the same, and they are on their way.
func (v *verbs) awaitCount(ctx context.Context, o order, w edge.Workload, n int) (any, error) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for first := v.show(w, n).Running; ; {
		now := v.show(w, n)
		if now.isDone() {
			return now, nil
		}
		o.progress(progressOf(first, now))
		err := v.daemon()
		if err == nil {
			select {
			case <-ticker.C:
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		return now, fmt.Errorf("workload %q is to have %d instances for good; it has %d, of which %d are ready: %w",
			w.Key(), n, now.Running, now.Ready, err)
	}
}

// progressOf counts what has come, or what has gone.
func progressOf(first int, now *workloadResult) edge.Progress {
	if now.Replicas < first {
		return edge.Progress{Done: int64(max(0, first-now.Running)), Total: int64(first - now.Replicas), Unit: "instances"}
	}
	return edge.Progress{Done: int64(now.Ready), Total: int64(now.Replicas), Unit: "instances"}
}
