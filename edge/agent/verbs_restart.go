package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/edge"
)

// restartResult says what was replaced.
type restartResult struct {
	Target   string `json:"target"`
	Replaced int    `json:"replaced"` // instances
}

// restart replaces the instances of a workload, or one instance, and returns when the
// new ones are ready.
func (v *verbs) restart(ctx context.Context, o order) (any, error) {
	args, err := argsOf[targetArgs](o.Command)
	if err != nil {
		return nil, err
	}
	if err := v.daemon(); err != nil {
		return nil, fmt.Errorf("cannot restart %q: %w", args.Target, err)
	}
	views := v.supervisor.Workloads()
	target, err := restartTarget(views, args.Target)
	if errors.Is(err, edge.ErrInvalid) {
		return nil, err
	}
	key, former := formerOf(views, target)
	// What is no workload may be an instance, which the supervisor knows.
	if again := v.supervisor.Restart(ctx, target); again != nil {
		return nil, edge.WithHint(again, edge.HintOf(err))
	}
	return v.awaitReplaced(ctx, o, restartResult{Target: target, Replaced: len(former)}, key, former)
}

// restartTarget is the key of the workload a target names; else the target itself.
func restartTarget(views []edge.WorkloadView, target string) (string, error) {
	target = instanceOf(target)
	var workloads []edge.Workload
	for _, view := range views {
		workloads = append(workloads, view.Workload)
	}
	w, err := workloadNamed(workloads, target)
	if err != nil {
		return target, err
	}
	return w.Key(), nil
}

// formerOf are the living instances of a workload, or the one instance, and the key of
// the workload.
func formerOf(views []edge.WorkloadView, target string) (key string, ids []string) {
	key = target
	for _, view := range views {
		for _, instance := range view.Instances {
			if isAlive(instance) && (instance.ID == target || view.Workload.Key() == target) {
				key, ids = view.Workload.Key(), append(ids, instance.ID)
			}
		}
	}
	return key, ids
}

// awaitReplaced waits until the former instances are gone and as many are ready as are
// wanted. If ctx ends first the restart goes on.
func (v *verbs) awaitReplaced(ctx context.Context, o order, done restartResult, key string, former []string) (any, error) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	begun := time.Now()
	for {
		left, whole := v.left(key, former)
		if left == 0 && whole {
			return done, nil
		}
		if why := v.tookBack(key, begun); why != "" {
			return nil, fmt.Errorf("cannot restart %q in the wanted version: it failed again and was taken back: %s: %w", done.Target, why, edge.ErrInvalid)
		}
		o.progress(edge.Progress{Done: int64(len(former) - left), Total: int64(len(former)), Unit: "instances"})
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("restart of %q goes on, but it is not done yet: %w", done.Target, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// tookBack tells why the wanted version of a workload was taken back since; empty: it was not.
func (v *verbs) tookBack(key string, since time.Time) string {
	for _, view := range v.supervisor.Workloads() {
		if u := view.Update; u != nil && view.Workload.Key() == key && u.Phase == edge.UpdateTakenBack && u.Since.After(since) {
			return u.Why
		}
	}
	return ""
}

// left counts the former instances that still live, and tells whether as many are ready
// as the workload should have.
func (v *verbs) left(key string, former []string) (left int, whole bool) {
	for _, view := range v.supervisor.Workloads() {
		if view.Workload.Key() != key {
			continue
		}
		whole = view.Ready >= view.Workload.Replicas
		for _, instance := range view.Instances {
			if isAlive(instance) && slices.Contains(former, instance.ID) {
				left++
			}
		}
	}
	return left, whole
}
