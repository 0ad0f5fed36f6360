package agent

import (
	"context"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/slots"
)

const (
	// trialLength is how many times the healthy time a trial may last: whatever is amiss may
	// pass, and the version is not to be blamed for the end of the first night shift.
	trialLength = 3
	// idleEvery is how often the node is looked at while nothing is on trial.
	idleEvery = 5 * time.Second
)

// watchTrial confirms the version that runs once the node has been as before for long
// enough, and leaves it when that does not come. Without a trial it only keeps in mind
// whether there is a link.
func (u *updater) watchTrial(ctx context.Context) error {
	begun, well := time.Now(), time.Time{}
	before := u.pursued().Before
	ticker := time.NewTicker(u.trialEvery())
	defer ticker.Stop()
	for {
		now := u.standing()
		if u.Report().Trial {
			if well = u.judge(now, before, well, begun); !u.Report().Trial {
				ticker.Reset(idleEvery)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// trialEvery is how often the node is looked at.
func (u *updater) trialEvery() time.Duration {
	if !u.Report().Trial {
		return idleEvery
	}
	return min(time.Second, time.Duration(u.options.ConfirmAfter)/10)
}

// judge looks once at the version on trial, and returns since when all is well.
func (u *updater) judge(now, before standing, well, begun time.Time) time.Time {
	healthy := time.Duration(u.options.ConfirmAfter)
	why := now.worse(before)
	switch {
	case why == "" && well.IsZero():
		well = time.Now()
	case why != "":
		well = time.Time{}
	}
	u.set(func(r *edge.AgentReport) {
		r.Unwell, r.TrialUntil = why, time.Time{}
		if !well.IsZero() {
			r.TrialUntil = well.Add(healthy)
		}
	})
	switch {
	case !well.IsZero() && time.Since(well) >= healthy:
		u.confirm()
	case time.Since(begun) >= trialLength*healthy:
		u.reject(fmt.Sprintf("it was not well for %v without a break within %v: %s", healthy, trialLength*healthy, why))
	}
	return well
}

// confirm keeps the version that runs.
func (u *updater) confirm() {
	b := u.state().Slot(u.started.Slot).Binary
	err := u.slots.Confirm()
	u.notice(err)
	if err != nil {
		return // tried again at the next look
	}
	u.outcome(u.look())
	u.warnings.Clear(codeFellBack, u.pursued().Binary.Version)
	u.event(edge.EventAgentUpdateConfirmed, b, "well for "+time.Duration(u.options.ConfirmAfter).String())
}

// reject leaves the version that runs. The agent ends, and the launcher starts the one before.
func (u *updater) reject(why string) {
	err := u.slots.Reject(u.started.Slot, why)
	u.notice(err)
	if err == nil {
		u.startAnew(u.state().Version(u.state().Active))
	}
}

// codeFellBack warns that a version was left for one before it.
const codeFellBack = "agent-fell-back"

// tellEnd tells, at the start, what has become of the version that the last update was
// about: that it was left, once as an event, and as a warning until another is confirmed.
func (u *updater) tellEnd() {
	p := u.pursued()
	bad, is := u.state().Badly(p.Binary.Digest)
	if !is || p.Release == "" {
		return
	}
	u.warnings.Raise(edge.Warning{
		Code: codeFellBack, Subject: bad.Version, Detail: fmt.Sprintf("version %s was left, %s runs: %s", bad.Version, u.version, bad.Reason),
		Remedy: "correct it and sign a release with a higher sequence; this one is not tried here again, but by update --again",
	})
	if p.Told {
		return
	}
	u.event(edge.EventAgentFellBack, bad.Binary, bad.Reason)
	p.Told = true
	if err := u.pursue(p); err != nil {
		u.log.Warn("pursuit-not-kept", "error", err.Error())
	}
}

// calm waits until no policy is on trial: an agent that ends within it is held against the
// policy.
func (u *updater) calm(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for u.governor.store.Snapshot().Trial != nil {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}

// reportedAgent is the agent as its fleet sees it.
func (a *Agent) reportedAgent() edge.ReportedAgent {
	r := a.updater.Report()
	said := edge.ReportedAgent{
		Version: a.options.Version, Boot: a.boot, Containerd: a.daemon.Load().Connected,
		Trial: r.Trial, Rescue: r.Rescue,
	}
	if r.Slot != string(slots.Factory) { // as on a node that cannot be updated, it goes without saying
		said.Slot = r.Slot
	}
	return said
}
