package agent

import (
	"context"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/policycache"
)

// trialTime is how long a new policy is watched for what shows that it cannot be
// applied. A model server has 30 seconds to become ready unless it says otherwise.
const trialTime = time.Minute

// trial is the first time of a policy in force. It ends with a failure, with time,
// or with the next policy. It is not kept: after a restart of the agent nothing is
// taken back, since what fails then may as well be the node's own doing.
type trial struct {
	version uint64 // 0: there is none
	changed map[string]bool
	until   time.Time
}

// failure is what ended a trial badly.
type failure struct {
	version uint64
	why     string
}

// try begins the trial of a policy. One that has nothing before it is not tried,
// because there is nothing to go back to.
func (g *governor) try(before, now *policycache.Snapshot) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trial = trial{}
	if before.Policy == nil || before.Digest == now.Digest {
		return
	}
	g.trial = trial{version: now.Version, changed: changedWorkloads(before.Policy, now.Policy), until: time.Now().Add(trialTime)}
}

// changedWorkloads names what a policy runs that the one before did not run like
// this.
func changedWorkloads(before, now *edge.Policy) map[string]bool {
	changed := map[string]bool{}
	for _, w := range now.Workloads {
		old, was := before.Workload(w.Key())
		if !was || before.Fill(old).SpecHash() != now.Fill(w).SpecHash() {
			changed[w.Key()] = true
		}
	}
	return changed
}

// The warnings of the supervisor that show, of a workload just changed, that the
// policy which changed it cannot be applied.
var fatalToTrial = map[string]bool{"spec-invalid": true, "start-failed": true, "crash-loop": true, "model-not-ready": true}

// Warned looks at a warning of the supervisor. It is called from the supervisor's
// loop and does not wait.
func (g *governor) Warned(w edge.Warning) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.trial
	if t.version == 0 || !fatalToTrial[w.Code] || !t.changed[w.Subject] || !g.daemonUp || time.Now().After(t.until) {
		return
	}
	g.trial = trial{}
	select {
	case g.failed <- failure{t.version, fmt.Sprintf("%s of workload %s: %s", w.Code, w.Subject, w.Detail)}:
	default: // another has just failed, and is being taken back
	}
}

// takeBack puts the policy before the failed one in force again.
func (g *governor) takeBack(ctx context.Context, f failure) {
	g.taking.Lock()
	defer g.taking.Unlock()
	in := g.store.Snapshot()
	if in.Version != f.version {
		return // overtaken by a newer one
	}
	err := g.store.Rollback(ctx, f.version, f.why)
	facts := map[string]string{"failed": fmt.Sprint(f.version), "inForce": fmt.Sprint(g.store.Snapshot().Version)}
	if err != nil {
		facts["error"] = err.Error()
	}
	g.journal.Add(edge.Event{Kind: edge.EventPolicyRolledBack, Subject: in.Name, Cause: f.why, Facts: facts})
	g.enforce()
}

// DaemonChanged notes whether containerd answers. That it does again counts only once
// the node's own stock of images was looked through.
func (g *governor) DaemonChanged(up bool) {
	if !up {
		g.mu.Lock()
		g.daemonUp = false
		g.mu.Unlock()
		return
	}
	select {
	case g.back <- struct{}{}:
	default: // a look is pending
	}
}

// Stock gets what the policy wants and the node does not have, each time containerd
// is back, until ctx ends. Only then begins the trial of a policy that came while it
// was away. That an image stays missing shows where it is to be started.
func (g *governor) Stock(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.back:
		}
		if policy := g.store.Snapshot().Policy; policy != nil {
			if err := g.supply(ctx, policy); err != nil && ctx.Err() == nil {
				g.log.Warn("images-missing", "error", err.Error())
			}
		}
		g.mu.Lock()
		g.daemonUp = true
		if g.trial.version != 0 {
			g.trial.until = time.Now().Add(trialTime)
		}
		g.mu.Unlock()
	}
}
