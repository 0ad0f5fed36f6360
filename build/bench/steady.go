package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"holdfast/edge"
)

// steadyFor is how long nothing happens while what it costs is counted: half a minute holds
// some of everything that is done now and then.
const steadyFor = 30 * time.Second

// steady takes what a node costs while nothing happens, with ten instances, a policy and a
// link to a fleet, what an instance takes of its memory, and how soon one that was killed
// serves again. Beside it stands podman, where it is installed, with ten containers of the
// same image and its own policy of restarts.
func (b *bench) steady(ctx context.Context) (err error) {
	l, err := b.newLinked(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close(context.WithoutCancel(ctx))) }()
	if err := l.meet(ctx); err != nil {
		return err
	}
	ours, err := l.upkeep(ctx)
	if err != nil {
		return err
	}
	theirs, err := b.podman(ctx)
	if errors.Is(err, errNoPodman) {
		theirs, err = upkeep{}, nil
	}
	if err != nil {
		return err
	}
	report(ours, theirs)
	return nil
}

// upkeep is what ten instances cost by whoever keeps them. Where nobody did, its zero value
// says so.
type upkeep struct {
	keeper  cost // the one process that keeps them; zero: there is none
	others  cost // the rest that has to run for them
	memory  uint64
	model   uint64 // of memory, what the model itself takes
	crashes []time.Duration
}

// cost is what processes cost while nothing happens.
type cost struct {
	share float64 // of a core
	wakes float64 // a second
}

func (u upkeep) ran() bool { return len(u.crashes) > 0 }

const (
	// crashTimes is how often an instance is killed on each side.
	crashTimes = 20
	// crashEvery is long enough that, of ten in turn, each has run for more than ten seconds
	// and is started anew at once: what a crash loop costs is another question.
	crashEvery = 1200 * time.Millisecond
)

func (l *linked) upkeep(ctx context.Context) (u upkeep, err error) {
	if err := pause(ctx, startOver); err != nil { // until what only a start needs is over
		return u, err
	}
	models, err := l.models(ctx)
	if err != nil {
		return u, err
	}
	agent, others := []int{l.node.AgentPID()}, append(shimsOf("linked"), l.daemonPID())
	if u.keeper, u.others, err = idling(ctx, agent, others); err != nil {
		return u, err
	}
	row("idle: agent's CPU, 10 instances, policy and link", percent(u.keeper.share), "", 0, "< 1 % of a core")
	row("  its wake-ups a second", number(u.keeper.wakes), "", 0, "")
	if u.model, err = proportional(models); err != nil {
		return u, err
	}
	all, err := proportional(slices.Concat(models, shimsOf("linked"), agent))
	if err != nil {
		return u, err
	}
	u.model, u.memory = u.model/uint64(len(models)), all/uint64(len(models))
	for range crashTimes {
		took, err := l.crash(ctx)
		if err != nil {
			return u, err
		}
		u.crashes = append(u.crashes, took)
	}
	return u, nil
}

// models are the processes of the instances.
func (l *linked) models(ctx context.Context) (pids []int, err error) {
	instances, err := l.instances(ctx)
	for _, i := range instances {
		pids = append(pids, int(i.PID))
	}
	return pids, err
}

func (l *linked) instances(ctx context.Context) (all []edge.InstanceView, err error) {
	views, err := l.node.Client().Workloads(ctx)
	for _, v := range views {
		all = append(all, v.Instances...)
	}
	return all, err
}

// errReady ends following events.
var errReady = errors.New("another instance is ready")

// crash kills the instance that runs longest and takes the time until another is ready: the
// agent has asked the new one's model, and sends it tasks. It is told by an event: asking
// for the list would have containerd measure every instance each time.
func (l *linked) crash(ctx context.Context) (time.Duration, error) {
	if err := pause(ctx, crashEvery); err != nil {
		return 0, err
	}
	instances, err := l.instances(ctx)
	if err != nil {
		return 0, err
	}
	latest := uint64(0)
	err = l.node.Client().Events(ctx, 0, false, func(e edge.Event) error {
		latest = e.Seq
		return nil
	})
	if err != nil {
		return 0, err
	}
	victim := slices.MinFunc(instances, func(a, b edge.InstanceView) int { return a.Started.Compare(b.Started) })
	begun := time.Now()
	if err := syscall.Kill(int(victim.PID), syscall.SIGKILL); err != nil {
		return 0, fmt.Errorf("cannot kill instance: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = l.node.Client().Events(ctx, latest, true, func(e edge.Event) error {
		if e.Kind == edge.EventInstanceReady && e.Subject != victim.ID {
			return errReady
		}
		return nil
	})
	if !errors.Is(err, errReady) {
		return 0, fmt.Errorf("no other instance is ready: %w", errors.Join(err, ctx.Err()))
	}
	return time.Since(begun), nil
}

// until asks every five milliseconds, since asking takes of what is waited for, and tells
// how long that was since the beginning.
func until(ctx context.Context, begun time.Time, is func() bool) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("no other instance serves: %w", ctx.Err())
		}
	}
	return time.Since(begun), nil
}

// daemonPID is containerd's, which was started with a folder of the benchmark.
func (l *linked) daemonPID() int {
	dir, err := filepath.Abs(l.bench.stand.Folder())
	pids := processesWith(func(words []string) bool {
		return filepath.Base(words[0]) == "containerd" && slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, dir+"/") })
	})
	if err != nil || len(pids) == 0 {
		return 0
	}
	return pids[0]
}

func percent(f float64) string { return fmt.Sprintf("%.2f %%", 100*f) }
func number(f float64) string  { return fmt.Sprintf("%.1f", f) }

// report prints what there is a baseline for.
func report(ours, theirs upkeep) {
	line := func(figure, goal string, value func(upkeep) float64, text func(float64) string) {
		mine, base := value(ours), value(theirs)
		if !theirs.ran() {
			row(figure, text(mine), "not run", 0, goal+" (podman is not installed)")
			return
		}
		ratio := 0.0
		if base > 0 {
			ratio = mine / base
		}
		row(figure, text(mine), text(base), ratio, goal+" (baseline: podman)")
	}
	size := func(f float64) string { return mebibytes(uint64(f)) }
	line("idle: CPU of all that keeps 10 instances", "", func(u upkeep) float64 { return u.keeper.share + u.others.share }, percent)
	line("  wake-ups a second", "", func(u upkeep) float64 { return u.keeper.wakes + u.others.wakes }, number)
	line("memory an instance: model, shim, part of the agent", "", func(u upkeep) float64 { return float64(u.memory) }, size)
	line("  of it the model", "", func(u upkeep) float64 { return float64(u.model) }, size)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		line("instance killed to serving again, "+q.name+" of 20", "≤ 1 s", func(u upkeep) float64 {
			if !u.ran() {
				return 0
			}
			sorted := slices.Sorted(slices.Values(u.crashes))
			return float64(quantile(sorted, q.at))
		}, func(f float64) string { return millis(time.Duration(f)) })
	}
}
