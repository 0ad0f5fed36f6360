package scheduler

import (
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast/edge"
)

func TestQueue_EqualsBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	q := queue{before: (*entry).before}
	var all []*item // the oracle: in order of arrival, sorted anew each time
	for seq := range uint64(20_000) {
		switch {
		case len(all) == 0 || r.IntN(100) < 52:
			it := &item{seq: seq, deadline: instant(r.IntN(50)), task: edge.Task{Class: edge.Classes[r.IntN(3)]}}
			if r.IntN(10) == 0 {
				it.deadline = forever
			}
			q.insert(it.entry())
			all = append(all, it)
		case r.IntN(20) == 0:
			odd := func(it *item) bool { return it.seq%5 == 0 }
			want := slices.DeleteFunc(sorted(all), func(it *item) bool { return !odd(it) })
			var got []*item
			q.take(func(e *entry) bool { return odd(e.item) }, func(it *item) { got = append(got, it) })
			if !slices.Equal(got, want) {
				t.Fatalf("step %d: took %d in another order than %d", seq, len(got), len(want))
			}
			all = slices.DeleteFunc(all, odd)
		default:
			pos := r.IntN(len(all))
			if r.IntN(2) == 0 {
				pos = 0
			}
			gone := q.entries()[pos].item
			if e := gone.entry(); q.position(&e) != pos {
				t.Fatalf("step %d: position is %d, want %d", seq, q.position(&e), pos)
			}
			q.remove(pos)
			all = slices.DeleteFunc(all, func(it *item) bool { return it == gone })
		}
		assertQueue(t, &q, sorted(all))
	}
}

func assertQueue(t *testing.T, q *queue, want []*item) {
	t.Helper()
	var got []*item
	byClass := [len(edge.Classes)]int{}
	for _, e := range q.entries() {
		got = append(got, e.item)
		byClass[e.class]++
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the queue of %d differs from the oracle's of %d", len(got), len(want))
	}
	if q.byClass != byClass {
		t.Fatalf("counts by class are %v, want %v", q.byClass, byClass)
	}
	for _, e := range q.buf[:q.head] {
		if e.item != nil {
			t.Fatal("the queue holds on to an item that left")
		}
	}
}

// sorted orders items by repeatedly picking the one nobody goes before.
func sorted(all []*item) []*item {
	rest, out := slices.Clone(all), make([]*item, 0, len(all))
	for len(rest) > 0 {
		first := 0
		for i, it := range rest {
			if goesBefore(it, rest[first]) {
				first = i
			}
		}
		out = append(out, rest[first])
		rest = slices.Delete(rest, first, first+1)
	}
	return out
}

func goesBefore(a, b *item) bool {
	switch {
	case a.deadline == forever && b.deadline == forever:
		return a.seq < b.seq
	case a.deadline != b.deadline:
		return a.deadline < b.deadline
	case a.task.Class != b.task.Class:
		return a.task.Class < b.task.Class
	default:
		return a.seq < b.seq
	}
}
