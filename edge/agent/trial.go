package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/policycache"
)

// trial is the first time of a policy in force, as the policy cache keeps it: it ends
// with a failure, with time, or with the next policy.
type trial struct {
	version uint64 // 0: there is none
	watched map[string]bool
	alone   map[string]bool // of these: what fails to run is taken back alone, as they say themselves
	until   time.Time       // moved on while containerd is away, since then nothing shows
}

// failure is what ended a trial badly.
type failure struct {
	version uint64
	why     string
}

// trialOf is the trial that a snapshot is in, as of now.
func trialOf(s *policycache.Snapshot, length time.Duration) trial {
	if s.Trial == nil {
		return trial{}
	}
	watched := changedWorkloads(s.Proven, s.Policy)
	for _, key := range s.Trial.Failing {
		delete(watched, key) // it was not well before, and is not the policy's doing
	}
	alone := map[string]bool{}
	for _, w := range s.Policy.Workloads {
		alone[w.Key()] = w.Update.OnFailure != ""
	}
	return trial{version: s.Version, watched: watched, alone: alone, until: time.Now().Add(length)}
}

// changedWorkloads names what a policy runs that the one before did not run like
// this.
func changedWorkloads(before, now *edge.Policy) map[string]bool {
	changed := map[string]bool{}
	for _, w := range now.Workloads {
		old, was := before.Workload(w.Key())
		if !was || before.Fill(old).SpecHash() != now.Fill(w).SpecHash() || tellsOther(before, now, w) {
			changed[w.Key()] = true
		}
	}
	return changed
}

// tellsOther tells whether a policy holds another secret for a workload than the one
// before did.
func tellsOther(before, now *edge.Policy, w edge.Workload) bool {
	return slices.ContainsFunc(w.Secrets, func(secret edge.Secret) bool {
		old, _ := before.Sealed(secret.Name)
		held, _ := now.Sealed(secret.Name)
		return old != held
	})
}

// The warnings of the supervisor that show, of a workload just changed, that the
// policy which changed it cannot be applied. The first says so whether or not
// containerd answers.
var fatalToTrial = map[string]bool{
	warnInvalid: true, "start-failed": true, "crash-loop": true, "model-not-ready": true, "update-failed": true,
}

const warnInvalid = "spec-invalid"

// failing names the workloads that are not well, for a trial that is about to begin.
func (g *governor) failing() (keys []string) {
	for _, w := range g.shown.warnings.All() {
		if fatalToTrial[w.Code] {
			keys = append(keys, w.Subject)
		}
	}
	return keys
}

// Warned looks at a warning of the supervisor. It is called from the supervisor's
// loop and does not wait.
func (g *governor) Warned(w edge.Warning) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.trial
	telling := g.daemonUp || w.Code == warnInvalid
	if t.version == 0 || !fatalToTrial[w.Code] || !t.watched[w.Subject] || !telling || time.Now().After(t.until) {
		return
	}
	if t.alone[w.Subject] && w.Code != warnInvalid {
		return
	}
	g.trial, g.doomed = trial{}, true
	select {
	case g.failed <- failure{t.version, fmt.Sprintf("%s of workload %s: %s", w.Code, w.Subject, w.Detail)}:
	default: // another has just failed, and is being taken back
	}
}

// Guards tells whether the trial of the policy takes a workload's version back, should
// it fail. It is called from the supervisor's loop and does not wait.
func (g *governor) Guards(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.trial
	return g.doomed || t.version != 0 && t.watched[key] && !t.alone[key] && (!g.daemonUp || time.Now().Before(t.until))
}

// spared notes that a failed trial has been dealt with, as well as it can be.
func (g *governor) spared() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.doomed = false
}

// takeBack puts the policy before the failed one in force again.
func (g *governor) takeBack(ctx context.Context, f failure) {
	defer g.spared()
	if g.taking.wait(ctx) != nil {
		return // the agent ends; the trial goes on with the next one
	}
	defer g.taking.leave()
	in := g.store.Snapshot()
	if in.Version != f.version {
		return // overtaken by a newer one
	}
	err := g.store.Rollback(ctx, f.version, f.why)
	facts := map[string]string{"failed": fmt.Sprint(f.version), "inForce": fmt.Sprint(g.store.Snapshot().Version)}
	if err != nil {
		facts["error"] = err.Error()
	}
	g.chronicle.Add(edge.Event{Kind: edge.EventPolicyRolledBack, Subject: in.Name, Cause: f.why, Facts: facts})
	g.enforce()
}

// prove ends a trial well once its time is over and containerd answers.
func (g *governor) prove(ctx context.Context) {
	g.mu.Lock()
	over := g.trial.version != 0 && g.daemonUp && time.Now().After(g.trial.until)
	version := g.trial.version
	if over {
		g.trial = trial{}
	}
	g.mu.Unlock()
	if !over {
		return
	}
	if err := g.store.Prove(ctx, version); err != nil {
		g.log.Warn("trial-not-ended", "error", err.Error()) // it was overtaken, or is tried again after a restart
	}
}

// DaemonChanged notes whether containerd answers. That it does again counts only once
// the node's own stock of images was looked through.
func (g *governor) DaemonChanged(up bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes++
	if !up {
		g.daemonUp = false
		return
	}
	select {
	case <-g.back: // a look was pending, and would find itself overtaken
	default:
	}
	g.back <- g.changes // which has room: nobody else sends
}

// Stock gets what the policy wants and the node does not have, each time containerd
// is back, until ctx ends. Only then the trial of a policy goes on that came while it
// was away. That an image stays missing shows where it is to be started; meanwhile it is
// looked for again, ever more seldom.
func (g *governor) Stock(ctx context.Context) error {
	var again <-chan time.Time
	wait := supplyAgain
	for {
		select {
		case <-ctx.Done():
			return nil
		case change := <-g.back:
			wait = supplyAgain
			again = g.restock(ctx, wait)
			g.goOn(change)
		case <-again:
			wait = min(2*wait, supplySeldom)
			again = g.restock(ctx, wait)
		}
	}
}

// How long after images were looked for in vain they are looked for again: first, and at
// most. Many nodes may miss the same registry.
const (
	supplyAgain  = time.Minute
	supplySeldom = time.Hour
)

// restock gets what the policy wants, and says when to look again for what is missing;
// nil: nothing is.
func (g *governor) restock(ctx context.Context, wait time.Duration) <-chan time.Time {
	policy := g.store.Snapshot().Policy
	if policy == nil {
		return nil
	}
	err := g.supply(ctx, policy)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	g.log.Warn("images-missing", "error", err.Error())
	return time.After(wait/2 + rand.N(wait))
}

// goOn lets the trial go on, unless containerd has gone again meanwhile.
func (g *governor) goOn(change uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changes != change {
		return
	}
	g.daemonUp = true
	if g.trial.version != 0 {
		g.trial.until = time.Now().Add(g.length)
	}
}
