package runtime

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	vacant := seatState{kind: seatVacant}
	waiting := seatState{kind: seatVacant, nextTry: now.Add(time.Second)}
	taken, ready, done := seatState{kind: seatTaken}, seatState{kind: seatReady}, seatState{kind: seatDone}
	extra := func(id string, isReady bool, age time.Duration) extraState {
		return extraState{id: id, ready: isReady, started: now.Add(-age)}
	}
	match := func(e extraState) extraState { e.matches = true; return e }
	stopping := func(e extraState) extraState { e.kind = extraStopping; return e }
	creating := func(e extraState) extraState { e.kind = extraCreating; return e }

	fresh := seatState{kind: seatVacant, fresh: true}
	old := func(n int) (extras []extraState) { // ready, the oldest last
		for i := range n {
			extras = append(extras, extra(string(rune('a'+i)), true, time.Duration(i)*time.Second))
		}
		return extras
	}

	table := map[string]struct {
		s    situation
		want string
	}{
		"Nothing":                   {situation{}, ""},
		"Start":                     {situation{replicas: 2, seats: []seatState{vacant, vacant}}, "start 0, start 1"},
		"AllReady":                  {situation{replicas: 2, seats: []seatState{ready, taken}}, ""},
		"DoneStaysDone":             {situation{replicas: 1, seats: []seatState{done}}, ""},
		"BackoffWaits":              {situation{replicas: 2, seats: []seatState{waiting, vacant}}, "start 1, again 1s"},
		"Adopt":                     {situation{replicas: 1, seats: []seatState{vacant}, extras: []extraState{match(extra("a", false, 0))}}, "adopt a in 0"},
		"AdoptInBackoff":            {situation{replicas: 1, seats: []seatState{waiting}, extras: []extraState{match(extra("a", false, 0))}}, "adopt a in 0"},
		"AdoptReadyFirst":           {situation{replicas: 1, seats: []seatState{vacant}, extras: []extraState{match(extra("a", false, 9)), match(extra("b", true, 1))}}, "adopt b in 0, retire a"},
		"AdoptOldest":               {situation{replicas: 1, seats: []seatState{vacant}, extras: []extraState{match(extra("a", true, 1)), match(extra("b", true, 9))}}, "adopt b in 0, retire a"},
		"AdoptAndStart":             {situation{replicas: 2, seats: []seatState{vacant, vacant}, extras: []extraState{match(extra("a", true, 0))}}, "adopt a in 0, start 1"},
		"ForeignBridges":            {situation{replicas: 1, seats: []seatState{vacant}, extras: []extraState{extra("old", true, 0)}}, "start 0"},
		"ForeignUnreadyBridges":     {situation{replicas: 1, seats: []seatState{vacant}, extras: []extraState{extra("old", false, 0)}}, "start 0"},
		"ForeignKeptWhileStarting":  {situation{replicas: 1, seats: []seatState{taken}, extras: []extraState{extra("old", true, 0)}}, ""},
		"ForeignRetiredWhenReady":   {situation{replicas: 1, seats: []seatState{ready}, extras: []extraState{extra("old", true, 0)}}, "retire old"},
		"OneSurgeAtATime":           {situation{replicas: 2, seats: []seatState{vacant, vacant}, extras: []extraState{extra("a", true, 2), extra("b", true, 1)}}, "start 0"},
		"NextOfTheUpdate":           {situation{replicas: 2, seats: []seatState{ready, vacant}, extras: []extraState{extra("a", true, 2), extra("b", true, 1)}}, "retire a"},
		"StoppingStillTakesRoom":    {situation{replicas: 2, seats: []seatState{ready, vacant}, extras: []extraState{stopping(extra("a", true, 2)), extra("b", true, 1)}}, ""},
		"UnreadyRetiredFirst":       {situation{replicas: 2, seats: []seatState{ready, taken}, extras: []extraState{extra("a", true, 9), extra("b", false, 1)}}, "retire b"},
		"CreatingCannotBeRetired":   {situation{seats: nil, extras: []extraState{creating(extra("a", false, 0))}}, ""},
		"StoppingIsNotAdopted":      {situation{replicas: 1, seats: []seatState{vacant}, extras: []extraState{stopping(match(extra("a", true, 0)))}}, "start 0"},
		"ScaleDownDropsLeastUseful": {situation{replicas: 2, seats: []seatState{ready, taken, ready, waiting}}, "drop 3, drop 1"},
		"ScaleDownDropsLast":        {situation{replicas: 1, seats: []seatState{ready, ready, ready}}, "drop 2, drop 1"},
		"NoLongerWanted":            {situation{seats: []seatState{ready}, extras: []extraState{extra("a", true, 0)}}, "drop 0"},
		"ExtrasOfNothing":           {situation{extras: []extraState{extra("a", true, 0), extra("b", false, 0)}}, "retire b, retire a"},
		"LeftoversHoldStarts":       {situation{replicas: 1, seats: []seatState{vacant}, leftovers: 3}, ""},
		"FewLeftoversDoNot":         {situation{replicas: 1, seats: []seatState{vacant}, leftovers: 2}, "start 0"},
		"WaitsForOthers":            {situation{replicas: 1, waits: true, seats: []seatState{vacant}, extras: old(1)}, ""},
		"TwoAtATime":                {situation{replicas: 3, parallel: 2, seats: []seatState{vacant, vacant, vacant}, extras: old(3)}, "start 0, start 1"},
		"AllAtOnce":                 {situation{replicas: 2, parallel: 100, seats: []seatState{vacant, vacant}, extras: old(2)}, "start 0, start 1"},
		"StopFirst":                 {situation{replicas: 2, stopFirst: true, seats: []seatState{vacant, vacant}, extras: old(2)}, "retire b"},
		"StopFirstTwo":              {situation{replicas: 3, stopFirst: true, parallel: 2, seats: []seatState{vacant, vacant, vacant}, extras: old(3)}, "retire c, retire b"},
		"StopFirstThenStart":        {situation{replicas: 2, stopFirst: true, seats: []seatState{vacant, vacant}, extras: old(1)}, "start 0"},
		"StopFirstUntilReady":       {situation{replicas: 2, stopFirst: true, seats: []seatState{taken, vacant}, extras: old(1)}, ""},
		"StopFirstGoesOn":           {situation{replicas: 2, stopFirst: true, seats: []seatState{ready, vacant}, extras: old(1)}, "retire a"},
		"StopFirstWhenStartable":    {situation{replicas: 1, stopFirst: true, waits: true, seats: []seatState{vacant}, extras: old(1)}, ""},
		"DelayBetweenSteps":         {situation{replicas: 2, next: now.Add(time.Second), seats: []seatState{ready, fresh}, extras: old(1)}, "again 1s"},
		"NoDelayForTheFallen":       {situation{replicas: 2, next: now.Add(time.Second), seats: []seatState{ready, vacant}, extras: old(1)}, "start 1"},
		"DelayOfStopFirst":          {situation{replicas: 2, stopFirst: true, next: now.Add(time.Second), seats: []seatState{ready, fresh}, extras: old(1)}, "again 1s"},
		"DelayOver":                 {situation{replicas: 2, stopFirst: true, next: now, seats: []seatState{ready, fresh}, extras: old(1)}, "retire a"},
	}
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			if got := write(c.s, now); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// write makes a plan readable.
func write(s situation, now time.Time) string {
	actions, again := plan(s, now)
	text := ""
	add := func(format string, args ...any) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf(format, args...)
	}
	for _, a := range actions {
		switch a.verb {
		case dropSeat:
			add("drop %d", a.seat)
		case adoptInto:
			add("adopt %s in %d", a.id, a.seat)
		case startIn:
			add("start %d", a.seat)
		case retire:
			add("retire %s", a.id)
		}
	}
	if !again.IsZero() {
		add("again %v", again.Sub(now))
	}
	return text
}

// FuzzPlan holds every plan against what no plan may do.
func FuzzPlan(f *testing.F) {
	f.Add(uint8(2), []byte{0, 1, 2}, []byte{0, 3, 9})
	f.Add(uint8(0), []byte{2, 2}, []byte{1})
	f.Add(uint8(3+16), []byte{}, []byte{1, 1, 1, 1, 1})
	f.Add(uint8(3+8+32), []byte{}, []byte{1, 1, 1, 1, 1})
	f.Fuzz(func(t *testing.T, replicas uint8, seats, extras []byte) {
		now := time.Unix(1e9, 0)
		s := situation{replicas: int(replicas % 8), stopFirst: replicas&8 != 0, parallel: int(replicas >> 4 & 3), waits: replicas&64 != 0}
		for _, b := range seats {
			s.seats = append(s.seats, seatState{kind: seatKind(b % 4), nextTry: now.Add(time.Duration(int8(b)))})
		}
		for len(s.seats) < s.replicas {
			s.seats = append(s.seats, seatState{})
		}
		for i, b := range extras {
			s.extras = append(s.extras, extraState{
				id: fmt.Sprint(i), kind: extraKind(b % 3), ready: b&4 != 0, matches: b&8 != 0, started: now.Add(-time.Duration(b)),
			})
		}
		actions, _ := plan(s, now)
		if problem := forbidden(s, actions); problem != "" {
			t.Fatalf("%s: %+v in %+v", problem, actions, s)
		}
	})
}

// forbidden names the first rule the actions break.
func forbidden(s situation, actions []action) string {
	count := func(v verb) int {
		return len(slices.DeleteFunc(slices.Clone(actions), func(a action) bool { return a.verb != v }))
	}
	live := len(s.extras)
	serving := 0
	for _, seat := range s.seats {
		if seat.kind == seatTaken || seat.kind == seatReady {
			live++
		}
		if seat.kind == seatReady || seat.kind == seatDone {
			serving++
		}
	}
	for _, a := range actions {
		i := slices.IndexFunc(s.extras, func(e extraState) bool { return e.id == a.id })
		if a.verb == retire && s.extras[i].kind != extraRunning {
			return "retires what does not run"
		}
		if a.verb == adoptInto && (!s.extras[i].matches || s.extras[i].kind != extraRunning) {
			return "adopts what is not wanted"
		}
		if (a.verb == adoptInto || a.verb == startIn) && s.seats[a.seat].kind != seatVacant {
			return "fills a seat twice"
		}
	}
	running := len(slices.DeleteFunc(slices.Clone(s.extras), func(e extraState) bool { return e.kind != extraRunning }))
	switch {
	case count(startIn) > 0 && live+count(startIn) > s.replicas+s.surge():
		return "more instances than replicas and surge"
	case count(dropSeat) != max(0, len(s.seats)-s.replicas):
		return "wrong number of seats dropped"
	case count(dropSeat) == 0 && running-count(retire)+serving < min(s.replicas-s.gap(time.Time{}), running+serving):
		return "gives up capacity that is still needed"
	}
	return ""
}

// The check above must be able to fail.
func TestForbidden(t *testing.T) {
	one := situation{replicas: 1, seats: []seatState{{kind: seatReady}}, extras: []extraState{{id: "a"}}}
	vacant := situation{replicas: 1, seats: []seatState{{}}, extras: []extraState{{id: "a"}, {id: "b", kind: extraStopping}}}
	table := map[string]struct {
		s       situation
		actions []action
	}{
		"FilledTwice":      {one, []action{{verb: startIn}}},
		"TooMany":          {vacant, []action{{verb: startIn}}},
		"CapacityGivenUp":  {vacant, []action{{verb: retire, id: "a"}}},
		"RetiredTwice":     {vacant, []action{{verb: retire, id: "b"}}},
		"ForeignAdopted":   {vacant, []action{{verb: adoptInto, id: "a"}}},
		"DroppedForNought": {one, []action{{verb: dropSeat}}},
	}
	for name, c := range table {
		if forbidden(c.s, c.actions) == "" {
			t.Errorf("%s: got no complaint, want one", name)
		}
	}
}
