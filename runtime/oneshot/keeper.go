package oneshot

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/edge"
)

// Options are what a keeper is made from. Driver and Name are required.
type Options struct {
	Driver Driver
	Log    *slog.Logger // nil: nothing is logged

	// Name gives a new container its id.
	Name func(edge.Workload) string
	// Changed is told when Tools has something else to say, by Run. It must not block.
	Changed func()
	// Idle tells whether a core is free while so many tasks are at work here; nil: always.
	// What is made ahead waits for one. It must not call the keeper.
	Idle func(atWork int) bool
	// Jitter draws from [0, 1); nil draws at random.
	Jitter func() float64
}

// Keeper keeps containers of tools ready and runs tasks in them. Make it with New, start
// it with Run, tell it what is wanted with Apply.
type Keeper struct {
	opts Options
	wake chan struct{} // capacity 1: one wake is enough for any number of changes
	jobs sync.WaitGroup
	life context.Context // of tasks; ends as Run does
	end  context.CancelFunc

	mu       sync.Mutex // guards what follows, and the pools
	pools    map[string]*pool
	ours     map[string]struct{} // ids of all that was made or is being, and not taken away
	swept    bool                // nothing of an earlier agent is left
	sweeping bool
	away     bool // the daemon left while it was being swept
	tries    int  // of sweeping
	next     time.Time
	trouble  error  // why it cannot be swept
	told     []Tool // by Tools, at the last turn
}

// New checks the options. It starts nothing.
func New(o Options) (*Keeper, error) {
	if o.Driver == nil || o.Name == nil {
		return nil, errors.New("cannot make keeper of tools: it needs a driver and names")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Idle == nil {
		o.Idle = func(int) bool { return true }
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	k := &Keeper{opts: o, wake: make(chan struct{}, 1), pools: map[string]*pool{}, ours: map[string]struct{}{}}
	k.life, k.end = context.WithCancel(context.Background())
	return k, nil
}

// Run keeps the pools until ctx ends. Then it ends the tasks that are at work and takes
// away what it has made, as far as that takes no longer than closeWithin; the rest is for
// the next agent.
func (k *Keeper) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var tick <-chan time.Time
		if next := k.turn(ctx); !next.IsZero() {
			timer.Reset(time.Until(next))
			tick = timer.C
		}
		select {
		case <-ctx.Done():
			k.close(ctx)
			return nil
		case <-k.wake:
		case <-tick:
		}
	}
}

// Apply replaces what is wanted; all of it is one-shot. It returns at once.
func (k *Keeper) Apply(workloads []edge.Workload) {
	k.mu.Lock()
	for _, p := range k.pools {
		p.wanted = false
	}
	for _, w := range workloads {
		p := k.pools[w.Key()]
		if p == nil {
			p = &pool{}
			k.pools[w.Key()] = p
		}
		if hash := w.SpecHash(); hash != p.hash { // another version may succeed where one failed
			p.hash, p.failure, p.tries, p.next = hash, nil, 0, time.Time{}
		}
		p.spec, p.wanted = w, true
		p.free.wake()
	}
	k.mu.Unlock()
	k.Retry()
}

// Retry makes what failed be tried at once, for example after an image was imported.
func (k *Keeper) Retry() {
	k.mu.Lock()
	for _, p := range k.pools {
		p.next = time.Time{}
	}
	k.mu.Unlock()
	k.poke()
}

// Restart makes what stands ready of a workload anew. False: there is no such workload.
func (k *Keeper) Restart(key string) bool {
	k.mu.Lock()
	p := k.pools[key]
	known := p != nil && p.wanted
	if known {
		p.spent, p.warm = append(p.spent, p.warm...), nil
		p.next = time.Time{}
	}
	k.mu.Unlock()
	k.poke()
	return known
}

// DaemonChanged tells that the connection to the daemon came or went.
func (k *Keeper) DaemonChanged(connected bool) {
	k.mu.Lock()
	k.loseLocked()
	if connected {
		k.next, k.tries = time.Time{}, 0
	}
	k.mu.Unlock()
	if connected {
		k.Retry()
	}
	k.poke()
}

// loseLocked notes that it is not known any more what there is.
func (k *Keeper) loseLocked() { k.swept, k.away = false, k.sweeping }

// poke makes Run look at once.
func (k *Keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// sortedLocked lists the pools by their keys.
func (k *Keeper) sortedLocked() []*pool {
	return slices.SortedFunc(maps.Values(k.pools), func(a, b *pool) int { return strings.Compare(a.spec.Key(), b.spec.Key()) })
}
