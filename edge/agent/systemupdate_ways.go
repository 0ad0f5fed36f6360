package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
)

const (
	// drainWithin is what tasks that run get to end in before the machine is started anew.
	drainWithin = 30 * time.Second
	// restartWithin is how long a machine may take over ending the agent once it was asked
	// to start anew: whatever else runs has a minute and a half to end by default.
	restartWithin = 5 * time.Minute
)

// followPolicy has installed what the policy in force wants, for as long as it does.
func (u *systemUpdater) followPolicy(ctx context.Context) error {
	p := pursuer{
		warnings: u.warnings, subject: "policy", waits: codeSystemWaits, refused: codeSystemRefused,
		hope: "see that the bundle lies where it is said to, and that rauc works (rauc status)", remedy: func(error) string { return "name another bundle" },
	}
	return p.follow(ctx, func() (string, attempt) {
		in := u.governor.store.Snapshot()
		if in.Policy == nil || !in.Policy.Agent.System.Wants() || in.Degraded() || u.trial() {
			return "", nil
		}
		w := systemWish{SystemPolicy: in.Policy.Agent.System, origin: inForce(in)}
		if !u.allowed() {
			w.Restart = edge.RestartLater
		}
		return fmt.Sprint(w.SystemPolicy), func(ctx context.Context) error {
			_, err := u.pursue(ctx, w, func(edge.Progress) {})
			return err
		}
	})
}

// pursue has a system installed, and the machine started anew for it unless that is to be
// later. It then returns only when that did not come.
func (u *systemUpdater) pursue(ctx context.Context, w systemWish, told func(edge.Progress)) (edge.SystemUpdate, error) {
	done, err := u.bring(ctx, w, told)
	if err != nil || done.Runs || w.Restart == edge.RestartLater {
		return done, err
	}
	return done, u.startAnew(ctx, told)
}

// startAnew ends everything in order and has the machine start anew. The end of the agent
// is that of ctx.
func (u *systemUpdater) startAnew(ctx context.Context, told func(edge.Progress)) error {
	if err := u.quiet(ctx, told); err != nil {
		return err
	}
	p := u.pursued()
	u.set(func(r *edge.SystemReport) { r.Phase, r.Wanted, r.Origin = edge.SystemRestarting, p.Version, p.Origin })
	u.nudge()
	defer u.nudge()
	defer u.set(func(r *edge.SystemReport) { r.Phase, r.Wanted, r.Origin = "", "", "" })
	u.event(edge.EventSystemRestarting, p.Version, cmp.Or(p.Origin, "it was installed"), p)
	told(edge.Progress{Note: "the machine starts anew in version " + p.Version + " of the system"})
	was := u.drained()
	within, cancel := context.WithTimeout(ctx, drainWithin)
	if err := u.drain(within); err != nil && ctx.Err() == nil {
		u.log.Warn("tasks-cut-off", "error", err.Error())
	}
	cancel()
	err := u.reboot(ctx)
	if err == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("it goes on with version %s of the system: %w", p.Version, context.Cause(ctx))
		case <-time.After(restartWithin):
			err = fmt.Errorf("it was asked to, and the agent still runs after %v", restartWithin)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !was {
		u.undrain()
	}
	return edge.WithHint(fmt.Errorf("version %s of the system is installed, and the machine cannot be started anew: %w: %w", p.Version, edge.ErrUnavailable, err),
		"start it anew by hand; what is installed runs then")
}

// quiet waits until neither a policy nor a version of the agent is on trial: a restart would
// be held against them.
func (u *systemUpdater) quiet(ctx context.Context, told func(edge.Progress)) error {
	ticker := time.NewTicker(paceEvery)
	defer ticker.Stop()
	for u.trial() {
		told(edge.Progress{Note: "waiting for the end of the trial of the agent's version"})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	if u.governor == nil {
		return nil
	}
	return u.calm(ctx)
}

// followRestarts starts the machine anew for whoever asked and does not wait.
func (u *systemUpdater) followRestarts(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-u.restarts:
		}
		if err := u.startAnew(ctx, func(edge.Progress) {}); err != nil && ctx.Err() == nil {
			u.log.Error("machine-not-restarted", "error", err.Error())
		}
	}
}

// updateSystemArgs are what the command update-system takes: what a policy says, and more.
type updateSystemArgs struct {
	Bundle    string             `json:"bundle"`
	Version   string             `json:"version,omitempty"`
	Digest    string             `json:"digest,omitempty"`
	Bandwidth edge.Size          `json:"bandwidth,omitempty"`
	Restart   edge.SystemRestart `json:"restart,omitempty"`
	// Again has a version tried anew that did not stay here before.
	Again bool `json:"again,omitempty"`
}

func (a updateSystemArgs) policy() edge.SystemPolicy {
	return edge.SystemPolicy{Bundle: a.Bundle, Version: a.Version, Digest: a.Digest, Bandwidth: a.Bandwidth, Restart: a.Restart}
}

func (a updateSystemArgs) check() error {
	if a.Bundle == "" {
		return missing("bundle")
	}
	return a.policy().Check()
}

func (updateSystemArgs) usage() string {
	return `{"bundle": "https://releases.example/gateway-7.raucb", "version": "7", "digest": "sha256:…", "bandwidth": "500Ki", "restart": "later", "again": true}`
}

// updateSystem brings the whole system to a bundle. It begins again after each start of the
// agent, and ends when the new system was called good, or the former one runs.
func (v *verbs) updateSystem(ctx context.Context, o order) (any, error) {
	args, err := argsOf[updateSystemArgs](o.Command)
	if err != nil {
		return nil, err
	}
	u := v.systems
	if args.Restart != edge.RestartLater && !u.allowed() {
		return nil, edge.WithHint(&edge.Refusal{
			Reason: edge.ReasonDenied,
			Detail: "the configuration of this node does not let its fleet start the machine anew",
		}, "set link.reboot: allow on the node, or have it installed for a later start (--restart later)")
	}
	done, err := u.pursue(ctx, systemWish{SystemPolicy: args.policy(), origin: o.cause(), again: args.Again, resumes: true}, o.progress)
	if err != nil {
		return nil, err
	}
	return done, nil
}

// UpdateSystem brings the whole system to a bundle for the local API. It returns before the
// machine is started anew; leave has that done.
func (u updates) UpdateSystem(ctx context.Context, wanted edge.SystemPolicy, again bool, told func(edge.Progress)) (to edge.SystemUpdate, leave func(), err error) {
	if wanted.Bundle == "" {
		return to, nil, fmt.Errorf("cannot update the system: no bundle is named: %w", edge.ErrInvalid)
	}
	if err := wanted.Check(); err != nil {
		return to, nil, fmt.Errorf("cannot update the system: %w", errors.Join(err, edge.ErrInvalid))
	}
	to, err = u.systems.bring(ctx, systemWish{SystemPolicy: wanted, origin: "local API", again: again}, told)
	leave = func() {}
	if err == nil && !to.Runs && wanted.Restart != edge.RestartLater {
		to.Restarting = true
		leave = func() {
			select {
			case u.systems.restarts <- struct{}{}:
			default: // it is about to
			}
		}
	}
	return to, leave, err
}

// reportedSystem is the system as the fleet sees it.
func (a *Agent) reportedSystem() edge.ReportedSystem {
	r := a.systems.Report()
	if r == nil {
		return edge.ReportedSystem{}
	}
	return edge.ReportedSystem{Version: r.Version, Slot: r.Slot, Waiting: r.Waiting, Trial: r.Trial}
}
