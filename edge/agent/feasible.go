package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
)

// feasible tells whether the node can do what a policy asks, before it is kept. What
// only containerd knows is left to the trial while containerd is away.
func (g *governor) feasible(ctx context.Context, policy *edge.Policy) error {
	if err := g.vacant(policy); err != nil {
		return err
	}
	if g.fits != nil {
		if err := g.fits(policy); err != nil {
			return err
		}
	}
	g.mu.Lock()
	up := g.daemonUp
	g.mu.Unlock()
	if !up {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, supplyWithin)
	defer cancel()
	err := g.supply(ctx, policy)
	if errors.Is(err, edge.ErrUnavailable) && !errors.Is(err, edge.ErrNoRoom) {
		return nil // containerd has just gone
	}
	return err
}

// supplyWithin bounds getting the images of a policy from the node's own stock: some
// hundred MB on slow flash.
const supplyWithin = 10 * time.Minute

// missingImages names what a policy wants to run and the node does not have.
func missingImages(policy *edge.Policy, held []edge.Image) error {
	var missing []string
	for _, w := range policy.Workloads {
		_, digest, _ := strings.Cut(w.Image, "@")
		there := slices.ContainsFunc(held, func(i edge.Image) bool { return i.Digest == digest })
		if w.Replicas > 0 && !there {
			missing = append(missing, fmt.Sprintf("%s (of %s)", w.Image, w.Key()))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return edge.WithHint(
		fmt.Errorf("the node has no image %s: %w", strings.Join(missing, ", "), edge.ErrNotFound),
		"import it with `holdfast images import FILE`, then apply the policy again; until then the one before stays in force")
}

// admitted are the workloads of a policy with its limits filled in. One that the
// policy itself does not permit is left out: such a policy is refused on arrival, and
// the second look costs nothing.
func admitted(policy *edge.Policy) (wanted []edge.Workload, refused []edge.Warning) {
	for _, w := range policy.Workloads {
		violations := policy.Admit(w)
		if len(violations) == 0 {
			wanted = append(wanted, policy.Fill(w))
			continue
		}
		var why []error
		for _, violation := range violations {
			why = append(why, violation)
		}
		refused = append(refused, edge.Warning{
			Code: codeNotAdmitted, Subject: w.Key(), Detail: errors.Join(why...).Error(),
			Remedy: "change the workload, or let the policy permit it",
		})
	}
	return wanted, refused
}
