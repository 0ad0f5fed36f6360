package outbox

import "time"

// queue holds records in memory, by ascending number.
type queue struct {
	items []item
	bytes int
}

type item struct {
	Entry
	at time.Time // when it came
}

func (q *queue) len() int { return len(q.items) }

func (q *queue) push(e Entry, at time.Time) {
	q.items = append(q.items, item{e, at})
	q.bytes += e.size()
}

// remove takes one out.
func (q *queue) remove(i int) {
	q.bytes -= q.items[i].size()
	last := len(q.items) - 1
	if i == 0 {
		q.items[0] = item{} // lets go of the body
		q.items = q.items[1:]
		return
	}
	copy(q.items[i:], q.items[i+1:])
	q.items[last] = item{}
	q.items = q.items[:last]
}

// dropTo takes out all up to a number and returns how many they were.
func (q *queue) dropTo(seq uint64) (n int) {
	for len(q.items) > 0 && q.items[0].Seq <= seq {
		q.remove(0)
		n++
	}
	return n
}

// behind appends entries with greater numbers, at most so many.
func (q *queue) behind(seq uint64, most int, to []Entry) []Entry {
	for _, item := range q.items {
		if item.Seq > seq && most > 0 {
			to = append(to, item.Entry)
			most--
		}
	}
	return to
}

// batch is the longest beginning that fits a batch.
func (q *queue) batch() []Entry {
	var entries []Entry
	size := headMost
	for i := range q.items {
		e := &q.items[i].Entry
		size += recordMost + len(e.Kind) + len(e.Quality) + len(e.Body)
		if size > maxBatch {
			break
		}
		entries = append(entries, *e)
	}
	return entries
}

// flash is about what the queue takes on flash.
func (q *queue) flash() int {
	const perRecord = 24 // sizes, sum, number and times
	return min(maxBatch, q.bytes-q.len()*(recordCost-perRecord))
}
