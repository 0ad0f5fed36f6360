package agent

import (
	"context"
	"fmt"

	"holdfast/edge"
)

// apply takes a signed policy or root document.
func (v *verbs) apply(ctx context.Context, o order) (any, error) {
	args, err := argsOf[applyArgs](o.Command)
	if err != nil {
		return nil, err
	}
	report, err := v.governor.Apply(ctx, args.Document)
	return reportedPolicy(report), err
}

// rollback puts the policy before the one in force into force again. The one that was
// is not taken again.
func (v *verbs) rollback(ctx context.Context, o order) (any, error) {
	if _, err := argsOf[noArgs](o.Command); err != nil {
		return nil, err
	}
	report, err := v.governor.RollBack(ctx, o.cause())
	return reportedPolicy(report), err
}

// RollBack takes the policy in force back because somebody asks for it, unless there is
// none before it, or the node has not got what that one needs.
func (g *governor) RollBack(ctx context.Context, why string) (edge.PolicyReport, error) {
	if err := g.taking.enter(ctx); err != nil {
		return g.report(), fmt.Errorf("cannot roll back policy: %w", err)
	}
	defer g.taking.leave()
	in := g.store.Snapshot()
	if in.Policy == nil {
		return g.report(), noPolicy("roll back")
	}
	before, err := g.store.Before(ctx)
	if err != nil {
		return g.report(), edge.WithHint(fmt.Errorf("cannot roll back policy version %d: %w", in.Version, err),
			"apply a policy with a higher version that says what the earlier one said")
	}
	if err := g.feasible(ctx, before); err != nil {
		return g.report(), fmt.Errorf("cannot roll back to policy version %d: %w", before.Metadata.Version, err)
	}
	// From here on only the disk is waited for, and half of it would help nobody.
	if err := g.store.Rollback(context.WithoutCancel(ctx), in.Version, why); err != nil {
		g.enforce() // it may be in force all the same, in memory
		return g.report(), err
	}
	g.chronicle.Add(edge.Event{
		Kind: edge.EventPolicyRolledBack, Subject: in.Name, Cause: why,
		Facts: map[string]string{"failed": fmt.Sprint(in.Version), "inForce": fmt.Sprint(g.store.Snapshot().Version)},
	})
	g.enforce()
	g.shown.share(g.store.Status().Warnings)
	g.settled(ctx)
	return g.report(), nil
}
