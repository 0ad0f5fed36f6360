package scheduler

import "time"

// pool is a group of interchangeable instances. At most lanes of its tasks run
// at once.
type pool struct {
	name    string
	lanes   int
	fixed   bool // what its instances have begun cannot be suspended
	busy    int  // lanes taken, by ghosts and suspended tasks too; above lanes for a while when instances went away
	claimed int  // scratch of the outlook: lanes it gives away
	// segment is where the walk keeps this pool's lanes; 0 means that they need
	// not be looked at, as there are as many as slots.
	segment int
}

// walk is a list schedule being made: when each slot and each scarce lane comes
// free. Tasks are placed one after another, each as early as those placed before
// it allow.
//
// A running task holds one slot and one lane of one pool, and gives both back in
// the same instant. So whenever a lane is what a task must wait for, the slot of
// that lane's last task comes free with it, and placing in order leaves no gaps:
// this is the very schedule the dispatcher will follow if the estimates hold.
type walk struct {
	// free holds ascending instants: first the slots, then one segment for each
	// pool with fewer lanes than slots. One slice, so that a copy is a snapshot.
	free  []instant
	slots int
}

// begin sets the schedule to what runs now.
func (w *walk) begin(now instant, runners []*item) {
	for i := range w.free {
		w.free[i] = now
	}
	for _, it := range runners {
		end := max(it.expected, now)
		raise(w.free[:w.slots], 0, end)
		if p := it.pool; p.segment > 0 {
			raise(w.lanes(p), 0, end)
		}
	}
}

func (w *walk) lanes(p *pool) []instant { return w.free[p.segment : p.segment+p.lanes] }

// start is when the next task of the pool would start, and which slot it takes.
func (w *walk) start(p *pool) (instant, int) {
	start := w.free[0]
	if p.segment == 0 {
		return start, 0
	}
	lane := w.free[p.segment]
	if lane <= start {
		return start, 0
	}
	slot := 0
	for slot+1 < w.slots && w.free[slot+1] <= lane {
		slot++ // the one that waits least for the lane, so that earlier ones stay open to others
	}
	return lane, slot
}

// place adds a task and returns when it ends. A pool without lanes runs nothing
// and so takes nothing: its tasks end at 0, which is never late.
func (w *walk) place(p *pool, cost time.Duration) instant {
	if p.lanes == 0 {
		return 0
	}
	start, slot := w.start(p)
	end := start + instant(cost)
	raise(w.free[:w.slots], slot, end)
	if p.segment > 0 {
		raise(w.lanes(p), 0, end)
	}
	return end
}

// raise replaces the value at i by v, keeping the order; a v below it is ignored,
// which keeps the latest ends when more runs than there are lanes left.
func raise(free []instant, i int, v instant) {
	if v < free[i] {
		return
	}
	for i+1 < len(free) && free[i+1] < v {
		free[i] = free[i+1]
		i++
	}
	free[i] = v
}
