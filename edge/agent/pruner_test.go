package agent

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
)

// newPrunerRig holds images 1 to 5 with a name each, and nothing needs any.
func newPrunerRig() (*pruner, *fakeImages) {
	store := &fakeImages{}
	for _, digit := range []string{"1", "2", "3", "4", "5"} {
		store.held = append(store.held, edge.Image{Name: "line.example/" + digit + ":1", Digest: digestOf(digit)})
	}
	return &pruner{images: store, running: func() []edge.WorkloadView { return nil }, taking: newTurn()}, store
}

func TestPruner_Prune(t *testing.T) {
	p, store := newPrunerRig()
	p.policies = func(context.Context) ([]*edge.Policy, error) { return []*edge.Policy{wants("1")}, nil }
	p.stocked = func(context.Context) ([]string, error) {
		return []string{digestOf("2"), "line.example/3:1"}, nil // one by digest, one by name
	}
	p.running = func() []edge.WorkloadView {
		return []edge.WorkloadView{{Workload: edge.Workload{Image: "4:1"}}}
	}
	done, err := p.Prune(t.Context(), nil)
	if err != nil || done.Kept != 4 || done.Freed != 1000 {
		t.Errorf("got %+v, %v", done, err)
	}
	if want := []string{digestOf("5")}; !slices.Equal(store.removed, want) {
		t.Errorf("got %q removed, want %q", store.removed, want)
	}
}

func TestPruner_Prune_Spared(t *testing.T) {
	p, store := newPrunerRig()
	spare := func(i edge.Image) bool { return i.Digest != digestOf("3") }
	if done, err := p.Prune(t.Context(), spare); err != nil || done.Kept != 4 || !slices.Equal(store.removed, []string{digestOf("3")}) {
		t.Errorf("got %+v, %v and %q removed", done, err, store.removed)
	}
}

// TestPruner_Prune_Versions keeps what a workload may go back to, and what may be tried again.
func TestPruner_Prune_Versions(t *testing.T) {
	p, store := newPrunerRig()
	p.running = func() []edge.WorkloadView {
		return []edge.WorkloadView{{
			Workload: edge.Workload{Image: "1:1"},
			Update:   &edge.UpdateView{Image: "line.example/2:1", GoodImage: "line.example/3@" + digestOf("3")},
		}}
	}
	if done, err := p.Prune(t.Context(), nil); err != nil || !slices.Equal(store.removed, []string{digestOf("4"), digestOf("5")}) {
		t.Errorf("got %+v, %v and %q removed, want 4 and 5", done, err, store.removed)
	}
}

// TestPruner_Prune_CannotTell removes nothing where it is not known what is needed.
func TestPruner_Prune_CannotTell(t *testing.T) {
	lost := errors.New("lost")
	for name, spoil := range map[string]func(*pruner, *fakeImages){
		"Policies": func(p *pruner, _ *fakeImages) {
			p.policies = func(context.Context) ([]*edge.Policy, error) { return nil, lost }
		},
		"Stock": func(p *pruner, _ *fakeImages) {
			p.stocked = func(context.Context) ([]string, error) { return nil, lost }
		},
		"Instances": func(_ *pruner, s *fakeImages) { s.down = lost },
	} {
		p, store := newPrunerRig()
		spoil(p, store)
		if _, err := p.Prune(t.Context(), nil); !errors.Is(err, lost) || store.removed != nil {
			t.Errorf("%s: got %v and %q removed, want %v and nothing", name, err, store.removed, lost)
		}
	}
}

// supplies are tries to get what is missing.
type supplies struct {
	mu    sync.Mutex // guards the rest
	tries []time.Time
	there bool
}

func (s *supplies) supply(context.Context, *edge.Policy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = append(s.tries, time.Now())
	if s.there {
		return nil
	}
	return edge.ErrNotFound
}

// come has the images be there from now on.
func (s *supplies) come() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.there = true
}

func (s *supplies) all() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tries)
}

// TestGovernor_StockAgain looks for what is missing again, ever more seldom.
func TestGovernor_StockAgain(t *testing.T) {
	r := newHallRig(t, 1)
	synctest.Test(t, func(t *testing.T) {
		var tried supplies
		r.supply = tried.supply
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		r.back = make(chan uint64, 1)
		go func() { ended <- r.Stock(ctx) }()
		r.DaemonChanged(true)
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		tries := tried.all()
		if len(tries) < 12 || len(tries) > 30 {
			t.Fatalf("got %d tries in 12 hours", len(tries))
		}
		if first := tries[1].Sub(tries[0]); first > 2*supplyAgain {
			t.Errorf("got the second try after %v", first)
		}
		tried.come()
		time.Sleep(2 * supplySeldom)
		synctest.Wait()
		last := len(tried.all())
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		if more := len(tried.all()) - last; more != 0 {
			t.Errorf("got %d tries though nothing is missing", more)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
