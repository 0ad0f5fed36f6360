package runtime

import (
	"context"
	"sync"
	"time"

	"holdfast/edge"
)

// maxEarly is how many suspensions that came before their tasks are remembered. They
// overtake them by microseconds, so at most as many are open as there are slots; those
// whose tasks have ended stay until others push them out.
const maxEarly = 64

// taskKey names one submission: ids come back, instants do not.
type taskKey struct {
	id      string
	arrived time.Time
}

// runs are the tasks being executed.
type runs struct {
	mu    sync.Mutex // guards what follows
	under map[taskKey]*run
	early [maxEarly]taskKey // asked to be suspended, and not there
	next  int               // of early
}

// run is one task being executed, and whether it may go on.
type run struct {
	task edge.Task

	// Of whoever executes it alone.
	tried  bool // an instance of a version on trial was asked last
	spared bool // such a one has failed it

	mu     sync.Mutex // guards what follows; held while the driver is told
	goOn   chan struct{}
	halted bool // by the scheduler
	ep     *endpoint
	lane   *lane // the request is out on it
	frozen bool  // its instance is
}

func keyOf(t edge.Task) taskKey { return taskKey{t.ID, t.Arrived} }

// begin takes a task in.
func (s *runs) begin(t edge.Task) *run {
	r := &run{task: t}
	key := keyOf(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.under == nil {
		s.under = make(map[taskKey]*run)
	}
	s.under[key] = r
	if s.forgiveLocked(key) {
		r.halted, r.goOn = true, make(chan struct{})
	}
	return r
}

func (s *runs) end(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := keyOf(r.task); s.under[key] == r {
		delete(s.under, key)
	}
}

// find returns the task's run. When it is not there it has ended, or is about to begin;
// then halt says whether it is to be halted as it does.
func (s *runs) find(t edge.Task, halt bool) *run {
	key := keyOf(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.under[key]
	if r == nil {
		s.forgiveLocked(key)
		if halt {
			s.early[s.next] = key
			s.next = (s.next + 1) % maxEarly
		}
	}
	return r
}

// forgiveLocked forgets that a task was to be halted, and tells whether it was.
func (s *runs) forgiveLocked(key taskKey) bool {
	for i := range s.early {
		if s.early[i] == key && key != (taskKey{}) {
			s.early[i] = taskKey{}
			return true
		}
	}
	return false
}

// enter notes that the task is about to be sent, once it may go on.
func (r *run) enter(ctx context.Context, ep *endpoint, l *lane) error {
	for {
		goOn := r.tryEnter(ep, l)
		if goOn == nil {
			return nil
		}
		select {
		case <-goOn:
		case <-ctx.Done():
			return gaveUp(ctx.Err())
		}
	}
}

func (r *run) tryEnter(ep *endpoint, l *lane) (wait <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.halted {
		return r.goOn
	}
	r.ep, r.lane = ep, l
	ep.occupy(r)
	return nil
}

// occupy notes whose task the instance works on.
func (ep *endpoint) occupy(r *run) {
	ep.pool.mu.Lock()
	defer ep.pool.mu.Unlock()
	ep.run = r
}
