package load

import (
	"context"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
	"holdfast/scheduler/sim"
)

// QuotableLength is how long a run is whose figures are worth quoting, by scheduled
// time.
const QuotableLength = sim.QuotableLength

// Options say what is to be sent where.
type Options struct {
	Address  string // the agent's socket or port
	Kinds    []Kind // none: a mix that suits what the node serves
	Arrivals []sim.Arrivals
	Loads    []float64 // work that arrives in a second ÷ the node's slots
	Length   time.Duration
	Seed     uint64
	Noise    float64       // spread of the work asked of burners, log-normal
	Alone    time.Duration // how long each kind of task is measured alone
	Order    string        // what reports call the order the agent runs
	Tenant   string        // whose tasks they are; empty: nobody's
	Hurried  bool          // Hurry succeeded; reports say so
}

func (o Options) check() error {
	switch {
	case len(o.Arrivals) == 0 || len(o.Loads) == 0:
		return fmt.Errorf("cannot make load: %d kinds of arrivals at %d loads: %w", len(o.Arrivals), len(o.Loads), edge.ErrInvalid)
	case o.Length <= 0 || o.Alone <= 0 || o.Noise < 0:
		return fmt.Errorf("cannot make load: for %v, %v alone, with noise %v: %w", o.Length, o.Alone, o.Noise, edge.ErrInvalid)
	}
	for _, load := range o.Loads {
		if !(load > 0 && load <= maxLoad) {
			return fmt.Errorf("cannot make load %v: it must lie above 0 and up to %v: %w", load, maxLoad, edge.ErrInvalid)
		}
	}
	return nil
}

// maxLoad is far beyond where every order has collapsed.
const maxLoad = 100.0

// node is what of the agent is looked at, besides the tasks.
type node interface {
	Status(ctx context.Context) (edge.Status, error)
	Models(ctx context.Context) ([]string, error)
	Model(ctx context.Context, name string) (oip.ModelMetadata, error)
}

var _ node = (*localapi.Client)(nil)

// Generator sends tasks to one agent.
type Generator struct {
	options Options
	client  *localapi.Client
	node    node
	door    *door
	slots   int
	kinds   []*kind
}

// kind is a Kind and what is known of it on this node.
type kind struct {
	Kind
	input input
	work  time.Duration   // in the middle
	alone []time.Duration // latencies with nothing else on the node
}

// New checks the options. It does no I/O.
func New(o Options) (*Generator, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	client := localapi.Dial(o.Address)
	return &Generator{options: o, client: client, node: client, door: newDoor(o.Address)}, nil
}

// Close ends the connections.
func (g *Generator) Close() {
	g.client.Close()
	g.door.close()
}

// Run measures each kind of task alone, and then calls each with the report of every kind of
// arrivals at every load, as they end. It stops when ctx ends or each returns an error.
func (g *Generator) Run(ctx context.Context, each func(Report) error) error {
	if err := g.prepare(ctx); err != nil {
		return err
	}
	if err := g.measureAlone(ctx); err != nil {
		return err
	}
	for _, arrivals := range g.options.Arrivals {
		for _, load := range g.options.Loads {
			report, err := g.cell(ctx, arrivals, load)
			if err != nil {
				return err
			}
			if err := each(report); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare learns what the node is and what its models take.
func (g *Generator) prepare(ctx context.Context) error {
	status, err := g.node.Status(ctx)
	if err != nil {
		return err
	}
	if g.slots = status.Scheduler.Slots; g.slots < 1 {
		return fmt.Errorf("cannot make load: the agent says that it runs %d tasks at once: %w", g.slots, edge.ErrInvalid)
	}
	kinds := g.options.Kinds
	if len(kinds) == 0 {
		models, err := g.node.Models(ctx)
		if err != nil {
			return err
		}
		if kinds = Suits(models); kinds == nil {
			return edge.WithHint(fmt.Errorf("cannot choose tasks: the node serves %q, which no mix is for: %w", models, edge.ErrInvalid),
				"name the kinds of tasks, such as MODEL=urgent:50ms-100ms:0.5")
		}
	}
	g.kinds = g.kinds[:0]
	for _, k := range kinds {
		meta, err := g.node.Model(ctx, k.Model)
		if err != nil {
			return err
		}
		in, err := newInput(k, meta)
		if err != nil {
			return err
		}
		g.kinds = append(g.kinds, &kind{Kind: k, input: in, work: k.Work})
	}
	return nil
}

// mix is what the simulator makes arrivals of. Models there are places in g.kinds.
func (g *Generator) mix() (mix sim.Mix, noise float64) {
	for i, k := range g.kinds {
		mix = append(mix, sim.Kind{
			Model: fmt.Sprint(i), Class: k.Class, Weight: k.Share, Work: k.work, Shortest: k.Shortest, Longest: k.Longest,
		})
		if k.input.exact {
			noise = g.options.Noise
		}
	}
	return mix, noise
}
