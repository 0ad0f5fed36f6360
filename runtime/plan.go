package runtime

import (
	"cmp"
	"slices"
	"time"

	"holdfast/edge"
)

// A workload has one seat per replica and, beside them, extras: instances that
// are to go, or whose fate is not decided yet. plan compares what is wanted with
// what there is and says the next steps; it is pure, and asked again after every
// change.
type situation struct {
	replicas  int
	seats     []seatState
	extras    []extraState
	leftovers int  // ended instances whose removal has not succeeded yet
	waits     bool // for a dependency: nothing is started

	parallel  int       // how many are replaced at a time; 0: 1, because a small node seldom has memory for more
	stopFirst bool      // the old ones end before the new ones are started
	next      time.Time // the next step of an update is not before
	paused    bool      // no step of an update is taken
	settles   time.Time // something that runs counts as ready
	trying    bool      // an instance beside these is a canary
}

// step is how many instances are replaced at a time.
func (s situation) step() int { return max(s.parallel, 1) }

// surge is how many instances over its replicas the workload may have meanwhile.
func (s situation) surge() int {
	if s.stopFirst {
		return 0
	}
	return s.step()
}

// gap is how many of its replicas may be missing meanwhile, as long as they could be
// replaced now.
func (s situation) gap(now time.Time) int {
	if !s.stopFirst || s.waits || s.next.After(now) {
		return 0
	}
	return s.step()
}

type seatState struct {
	kind    seatKind
	nextTry time.Time // vacant: not before
	fresh   bool      // nothing has been started in it yet
}

type seatKind uint8

const (
	seatVacant seatKind = iota
	seatTaken           // its instance is not ready
	seatReady
	seatDone // its instance ended and is not to be restarted
)

type extraState struct {
	id      string
	kind    extraKind
	matches bool // made from the wanted spec, and nobody asked for its end
	ready   bool
	started time.Time
}

type extraKind uint8

const (
	extraRunning  extraKind = iota
	extraCreating           // cannot be stopped before its start has returned
	extraStopping
)

type action struct {
	verb verb
	seat int    // index into situation.seats
	id   string // of the extra
}

type verb uint8

const (
	dropSeat  verb = iota // its instance, if any, becomes an extra
	adoptInto             // the extra takes the seat
	startIn               // a new instance for the seat
	retire                // stop the extra
)

// plan returns what to do at now and when to ask again though nothing changes
// (zero: never). Seats to drop are returned alone, because the rest of the plan
// depends on where their instances went.
func plan(s situation, now time.Time) (actions []action, again time.Time) {
	if drops := dropped(s); len(drops) > 0 {
		return drops, time.Time{}
	}
	adoptions := adopted(s)
	starts, again := started(s, len(adoptions), now)
	again = earlier(again, s.settles)
	actions = append(adoptions, starts...)
	return append(actions, retired(s, adoptions, now)...), again
}

// dropped picks the seats over the wanted number: those that serve least first,
// among equals the last.
func dropped(s situation) []action {
	over := len(s.seats) - s.replicas
	if over <= 0 {
		return nil
	}
	order := make([]int, len(s.seats))
	for i := range order {
		order[i] = i
	}
	worth := map[seatKind]int{seatVacant: 0, seatDone: 1, seatTaken: 2, seatReady: 3}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(worth[s.seats[a].kind], worth[s.seats[b].kind]), b-a)
	})
	order = order[:over]
	slices.SortFunc(order, func(a, b int) int { return b - a }) // from the end, so that indexes stay true
	var actions []action
	for _, i := range order {
		actions = append(actions, action{verb: dropSeat, seat: i})
	}
	return actions
}

// adopted seats running instances that are what is wanted: ready ones first, then
// the oldest.
func adopted(s situation) []action {
	fit := slices.DeleteFunc(slices.Clone(s.extras), func(e extraState) bool {
		return !e.matches || e.kind != extraRunning
	})
	edge.SortStable(fit, func(a, b extraState) int {
		if a.ready != b.ready {
			return map[bool]int{true: -1, false: 1}[a.ready]
		}
		return a.started.Compare(b.started)
	})
	var actions []action
	for i, seat := range s.seats {
		if seat.kind == seatVacant && len(actions) < len(fit) {
			actions = append(actions, action{verb: adoptInto, seat: i, id: fit[len(actions)].id})
		}
	}
	return actions
}

// started fills vacant seats whose time has come, as far as there is room. Room
// counts everything whose process may exist, also what is on its way out.
func started(s situation, adoptions int, now time.Time) (actions []action, again time.Time) {
	room := s.replicas + s.surge() - len(s.extras)
	for _, seat := range s.seats {
		if seat.kind == seatTaken || seat.kind == seatReady {
			room--
		}
	}
	if s.trying {
		room--
	}
	if s.leftovers > s.replicas+s.step() {
		room = 0 // what cannot be removed must not pile up
	}
	if s.waits {
		room = 0
	}
	for i, seat := range s.seats {
		switch {
		case seat.kind != seatVacant:
		case adoptions > 0: // the first vacant seats go to the adopted
			adoptions--
		case seat.nextTry.After(now):
			again = earlier(again, seat.nextTry)
		case seat.fresh && s.paused:
		case seat.fresh && s.next.After(now):
			again = earlier(again, s.next)
		case room > 0:
			room--
			actions = append(actions, action{verb: startIn, seat: i})
		}
	}
	return actions, again
}

// retired stops extras that no longer stand in for a seat: as many are kept as
// seats are not ready yet, but for a gap that is allowed; the ready and young ones longest.
func retired(s situation, adoptions []action, now time.Time) []action {
	missing := s.replicas - s.gap(now)
	for _, seat := range s.seats {
		if seat.kind == seatReady || seat.kind == seatDone {
			missing--
		}
	}
	candidates := slices.DeleteFunc(slices.Clone(s.extras), func(e extraState) bool {
		return e.kind != extraRunning || s.paused && !e.matches || slices.ContainsFunc(adoptions, func(a action) bool { return a.id == e.id })
	})
	for _, a := range adoptions { // an adopted ready instance fills its seat already
		if i := slices.IndexFunc(s.extras, func(e extraState) bool { return e.id == a.id }); s.extras[i].ready {
			missing--
		}
	}
	edge.SortStable(candidates, func(a, b extraState) int {
		if a.ready != b.ready {
			return map[bool]int{false: -1, true: 1}[a.ready]
		}
		return a.started.Compare(b.started)
	})
	var actions []action
	for _, e := range candidates[:max(0, len(candidates)-max(0, missing))] {
		actions = append(actions, action{verb: retire, id: e.id})
	}
	return actions
}

// earlier returns the earlier of two instants, where zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
