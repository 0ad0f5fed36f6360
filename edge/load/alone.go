package load

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"holdfast/edge"
)

const (
	// fewestAlone are enough for a median; mostAlone for a p99 that is not the maximum.
	fewestAlone, mostAlone = 5, 200
	// patience is the deadline of what is measured alone: it is to be answered.
	patience = time.Minute
)

// measureAlone sends tasks of each kind one after another to a node that has nothing
// else to do.
func (g *Generator) measureAlone(ctx context.Context) error {
	if err := g.settle(ctx); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(g.options.Seed, 4)) // 1 to 3 are the simulator's
	for _, k := range g.kinds {
		if err := g.measureKind(ctx, k, r); err != nil {
			return fmt.Errorf("cannot measure %s alone: %w", k.name(), err)
		}
	}
	return nil
}

func (g *Generator) measureKind(ctx context.Context, k *kind, r *rand.Rand) error {
	begun := time.Now()
	for n := 0; n < fewestAlone || n < mostAlone && time.Since(begun) < g.options.Alone; n++ {
		payload, err := k.input.payload(time.Duration(float64(k.Work) * math.Exp(g.options.Noise*r.NormFloat64())))
		if err != nil {
			return err
		}
		sent := time.Now()
		outcome, reason, err := g.door.fire(ctx, question{k.Model, k.Class, g.options.Tenant, patience, payload})
		if err != nil {
			return err
		}
		if outcome != edge.Completed {
			return fmt.Errorf("a task with %v to its deadline was %v (%s): %w", patience, outcome, reason, edge.ErrUnavailable)
		}
		k.alone = append(k.alone, time.Since(sent))
	}
	slices.Sort(k.alone)
	if !k.input.exact {
		k.work = k.alone[(len(k.alone)-1)/2] // as reports have it
	}
	return nil
}

// settle returns once the node has nothing to do any more.
func (g *Generator) settle(ctx context.Context) error {
	const pause = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		status, err := g.node.Status(ctx)
		if err != nil {
			return err
		}
		if status.Scheduler.Open() == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the node still has %d tasks after %v: %w", status.Scheduler.Open(), patience, ctx.Err())
		}
	}
}
