package scheduler

import (
	"sort"

	"holdfast/edge"
)

// queue holds what waits, sorted. It is a plain slice with room at its head:
// most tasks leave there, which then moves nothing. At the sizes a gateway sees,
// moving a few kilobytes beats the pointers of a tree, and the plan walks it
// whole anyway.
type queue struct {
	buf     []entry
	head    int
	byClass [len(edge.Classes)]int
	before  func(a, b *entry) bool // the order
}

// entries are the waiting tasks in order. The slice is good until the next change.
func (q *queue) entries() []entry { return q.buf[q.head:] }

func (q *queue) len() int { return len(q.buf) - q.head }

// position is where the entry stands, or would be inserted.
func (q *queue) position(e *entry) int {
	entries := q.entries()
	return sort.Search(len(entries), func(i int) bool { return !q.before(&entries[i], e) })
}

// insert puts the entry in its place, moving whichever side is shorter.
func (q *queue) insert(e entry) {
	pos := q.position(&e)
	q.byClass[e.class]++
	if q.head > 0 && pos <= q.len()/2 {
		q.head--
		entries := q.entries()
		copy(entries, entries[1:pos+1])
		entries[pos] = e
		return
	}
	q.reclaim()
	q.buf = append(q.buf, entry{})
	entries := q.entries()
	copy(entries[pos+1:], entries[pos:])
	entries[pos] = e
}

// reclaim moves the entries to the front when the buffer has no room behind
// them. A buffer at least half empty is reused, so that moving stays rare.
func (q *queue) reclaim() {
	if len(q.buf) < cap(q.buf) || q.head < cap(q.buf)/2 {
		return
	}
	n := copy(q.buf, q.entries())
	clear(q.buf[n:])
	q.buf, q.head = q.buf[:n], 0
}

// remove takes out the entry at pos.
func (q *queue) remove(pos int) {
	entries := q.entries()
	q.byClass[entries[pos].class]--
	if pos < len(entries)/2 {
		copy(entries[1:pos+1], entries[:pos])
		entries[0] = entry{}
		q.head++
		return
	}
	copy(entries[pos:], entries[pos+1:])
	entries[len(entries)-1] = entry{}
	q.buf = q.buf[:len(q.buf)-1]
}

// take removes every entry the condition holds for and hands each to f, in order.
func (q *queue) take(condition func(*entry) bool, f func(*item)) {
	entries := q.entries()
	kept := 0
	for i := range entries {
		if e := entries[i]; condition(&e) {
			q.byClass[e.class]--
			f(e.item)
			continue
		}
		entries[kept] = entries[i]
		kept++
	}
	clear(entries[kept:])
	q.buf = q.buf[:q.head+kept]
}
