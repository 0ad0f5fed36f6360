package agent

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
	"holdfast/policycache"
)

// governor puts the policy in force: each time the policy cache has another one it
// hands its rules to the scheduler and its workloads to the supervisor. A policy
// that shows within its trial that it cannot be applied is taken back.
type governor struct {
	store     *policycache.Store
	rule      func(*edge.Policy)                        // the scheduler: who may submit what; nil: nobody is bounded
	desire    func([]edge.Workload)                     // the supervisor: what should run
	trigger   func([]edge.Trigger)                      // the site link: which messages are tasks; nil: there is none
	settle    func(context.Context) error               // the supervisor shows what it was told
	vacant    func(*edge.Policy) error                  // says which port is another's
	supply    func(context.Context, *edge.Policy) error // gets the policy's images, and says what is missing
	cut       func() bool                               // whether the policy's offline rules hold; nil: never
	fits      func(*edge.Policy) error                  // whether the node has what its workloads set aside; nil: it has
	adjust    *adjustments                              // what commands want of workloads; nil: nothing
	chronicle *chronicle
	log       *slog.Logger

	length  time.Duration   // of a trial
	taking  turn            // of the one who brings or takes back a document
	failed  chan failure    // capacity 1: the first failure of a trial decides it
	back    chan uint64     // capacity 1: the latest change by which containerd answers again
	shown   *sharedWarnings // of the policy cache
	refused *sharedWarnings // of workloads the policy does not permit

	mu       sync.Mutex // guards what follows; held while a policy is handed to the rooms, which never wait
	inForce  *policycache.Snapshot
	trial    trial
	doomed   bool // a trial has failed, and what it tried is being taken back
	daemonUp bool
	changes  uint64 // of containerd's presence
}

// shareEvery is how late a warning of the policy cache may be seen.
const shareEvery = 2 * time.Second

// Run puts policies in force as they come, until ctx ends.
func (g *governor) Run(ctx context.Context) error {
	ticker := time.NewTicker(shareEvery)
	defer ticker.Stop()
	for {
		changed := g.store.Changed()
		g.enforce()
		g.prove(ctx)
		g.shown.share(g.store.Status().Warnings)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-ticker.C:
		case failure := <-g.failed:
			g.takeBack(ctx, failure)
		}
	}
}

// enforce hands the policy in force to the rooms, unless they have it.
func (g *governor) enforce() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.store.Snapshot()
	before := g.inForce
	if g.inForce = now; before == nil || before.Digest != now.Digest {
		g.trial, g.doomed = trialOf(now, g.length), false // before anybody can warn of what it changes
		g.handLocked(now)
		g.tell(now)
	}
	if now.Ended && (before == nil || !before.Ended) && now.Policy != nil {
		g.chronicle.Add(edge.Event{
			Kind: edge.EventLeaseEnded, Subject: now.Name, Cause: "too long without a sign of the fleet",
			Facts: map[string]string{"version": fmt.Sprint(now.Version), "state": string(now.State())},
		})
	}
}

// handLocked tells the rooms. Without a policy what runs is kept as it is, and serves
// nobody: not knowing what should run is no reason to stop anything.
func (g *governor) handLocked(now *policycache.Snapshot) {
	g.rule(now.Policy)
	if now.Policy == nil {
		return
	}
	g.desireLocked(now)
	if g.trigger != nil {
		g.trigger(now.Policy.Triggers)
	}
}

// desireLocked tells the supervisor what should run.
func (g *governor) desireLocked(now *policycache.Snapshot) {
	wanted, refused := admitted(now.Policy)
	g.refused.share(refused)
	wanted = g.adjust.Over(tenureOf(now), wanted)
	if g.cut != nil && g.cut() { // whatever a command has made of them
		for i, w := range wanted {
			if now.Policy.Offline.Stops(w) {
				wanted[i].Replicas = 0
			}
		}
	}
	g.desire(wanted)
}

// Readjust tells the supervisor again what should run, after a command has adjusted it,
// and waits until it shows that.
func (g *governor) Readjust(ctx context.Context) {
	g.redesire()
	g.settled(ctx)
}

func (g *governor) redesire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inForce != nil && g.inForce.Policy != nil {
		g.desireLocked(g.inForce)
	}
}

// settled waits until the supervisor shows what it was told, so that whoever asks next
// sees it. It is told either way.
func (g *governor) settled(ctx context.Context) {
	if err := g.settle(ctx); err != nil {
		g.log.Warn("supervisor-busy", "error", err.Error())
	}
}

func (g *governor) tell(s *policycache.Snapshot) {
	if s.Policy == nil {
		return
	}
	g.chronicle.Add(edge.Event{
		Kind: edge.EventPolicyInForce, Subject: s.Name,
		Facts: map[string]string{
			"version": fmt.Sprint(s.Version), "digest": s.Digest, "state": string(s.State()),
			"signers": strings.Join(s.Signers, " "),
		},
	})
}

// Policy is what governs the node.
func (g *governor) Policy() (edge.PolicyView, error) {
	view := edge.PolicyView{PolicyReport: g.report()}
	policy := g.store.Snapshot().Policy
	if policy == nil {
		return view, nil
	}
	text, err := policy.Encode()
	view.Document = text
	return view, err
}

// Apply takes a signed policy or root document. It returns nil once what it says is
// kept, in force, and handed to the rooms. Until then the end of ctx leaves everything
// as it was.
func (g *governor) Apply(ctx context.Context, envelope []byte) (edge.PolicyReport, error) {
	if err := g.taking.enter(ctx); err != nil {
		return g.report(), fmt.Errorf("cannot apply policy: %w", err)
	}
	defer g.taking.leave()
	err := g.take(ctx, envelope)
	g.shown.share(g.store.Status().Warnings)
	if err != nil {
		g.chronicle.Refused(g.store.Snapshot().Name, err)
	}
	return g.report(), err
}

func (g *governor) take(ctx context.Context, envelope []byte) error {
	opened, err := trust.Open(envelope)
	if err == nil && opened.PayloadType == trust.RoleRoot.PayloadType() {
		return g.follow(ctx, envelope)
	}
	policy, err := g.store.Judge(ctx, envelope)
	if err != nil {
		return err
	}
	if err := g.feasible(ctx, policy); err != nil {
		return fmt.Errorf("cannot apply policy version %d: %w", policy.Metadata.Version, err)
	}
	// From here on only the disk is waited for, and half of it would help nobody.
	if err := g.store.Apply(context.WithoutCancel(ctx), envelope); err != nil {
		return err
	}
	g.enforce()
	g.settled(ctx)
	return nil
}

func (g *governor) follow(ctx context.Context, envelope []byte) error {
	before := g.store.Status().Root
	if err := g.store.AddRoots(ctx, envelope); err != nil {
		return err
	}
	if now := g.store.Status().Root; now != before {
		g.chronicle.Add(edge.Event{
			Kind: edge.EventRootFollowed, Subject: "root",
			Facts: map[string]string{"from": fmt.Sprint(before), "to": fmt.Sprint(now)},
		})
	}
	return nil
}

func (g *governor) report() edge.PolicyReport { return reportOf(g.store.Status(), time.Now()) }

// reportOf says for status what governs the node.
func reportOf(s policycache.Status, now time.Time) edge.PolicyReport {
	in := s.Snapshot
	report := edge.PolicyReport{
		Governed: true, State: string(s.State), Name: in.Name, Version: in.Version, Digest: in.Digest,
		Signers: in.Signers, Root: in.Root, Since: in.Since, Kept: s.Kept, Trial: in.Trial != nil,
	}
	if in.Policy != nil {
		// Since is by the cache's clock, which never runs before its floor.
		if now.Before(s.ClockFloor) {
			now = s.ClockFloor
		}
		report.Age = max(0, now.Sub(in.Since))
		report.Lease, report.LeaseLeft, report.LeaseBoots = in.Lease.Terms, in.Lease.Left, in.Lease.BootsLeft
	}
	if n := len(s.Refused); n > 0 {
		report.FailedVersion, report.FailedWhy = s.Refused[n-1].Version, s.Refused[n-1].Why
	}
	return report
}
