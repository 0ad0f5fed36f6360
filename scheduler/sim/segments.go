package sim

// levels is a row of numbers: add raises a beginning of it, lastAbove finds the last
// one in a beginning that exceeds something. Both take logarithmic time.
type levels struct {
	size int
	top  []float64 // of each node's part of the row, without what is added above it
	more []float64 // added to all of the node's part
}

func newLevels(start []float64) levels {
	size := 1
	for size < len(start) {
		size *= 2
	}
	l := levels{size: size, top: make([]float64, 2*size), more: make([]float64, 2*size)}
	copy(l.top[size:], start)
	for node := size - 1; node > 0; node-- {
		l.top[node] = max(l.top[2*node], l.top[2*node+1])
	}
	return l
}

// add raises the numbers 0 to last.
func (l *levels) add(last int, by float64) { l.addIn(1, 0, l.size, last, by) }

func (l *levels) addIn(node, from, to, last int, by float64) {
	if from > last {
		return
	}
	if to-1 <= last {
		l.top[node] += by
		l.more[node] += by
		return
	}
	middle := (from + to) / 2
	l.addIn(2*node, from, middle, last, by)
	l.addIn(2*node+1, middle, to, last, by)
	l.top[node] = max(l.top[2*node], l.top[2*node+1]) + l.more[node]
}

// lastAbove is the last of the numbers 0 to last that exceeds the limit; -1 for none.
func (l *levels) lastAbove(last int, limit float64) (int, float64) {
	return l.lastIn(1, 0, l.size, last, limit)
}

func (l *levels) lastIn(node, from, to, last int, limit float64) (int, float64) {
	if from > last || l.top[node] <= limit {
		return -1, 0
	}
	if to-from == 1 {
		return from, l.top[node]
	}
	middle, more := (from+to)/2, l.more[node]
	if at, level := l.lastIn(2*node+1, middle, to, last, limit-more); at >= 0 {
		return at, level + more
	}
	at, level := l.lastIn(2*node, from, middle, last, limit-more)
	return at, level + more
}

// maxima is a row of numbers of which from finds the largest of an end.
type maxima struct {
	size int
	best []int // index of the largest in each node's part
	row  []float64
}

func newMaxima(n int) maxima {
	size := 1
	for size < n {
		size *= 2
	}
	m := maxima{size: size, best: make([]int, 2*size), row: make([]float64, size)}
	for node := range m.best {
		m.best[node] = max(node-size, 0)
	}
	for node := size - 1; node > 0; node-- {
		m.best[node] = m.best[2*node]
	}
	return m
}

func (m *maxima) set(i int, v float64) {
	m.row[i] = v
	for node := (m.size + i) / 2; node > 0; node /= 2 {
		m.best[node] = m.larger(m.best[2*node], m.best[2*node+1])
	}
}

func (m *maxima) larger(i, j int) int {
	if m.row[j] > m.row[i] {
		return j
	}
	return i
}

// from is the largest number at or after i.
func (m *maxima) from(i int) int {
	best := i
	for left, right := m.size+i, 2*m.size; left < right; left, right = left/2, right/2 {
		if left%2 == 1 {
			best = m.larger(best, m.best[left])
			left++
		}
		if right%2 == 1 {
			right--
			best = m.larger(best, m.best[right])
		}
	}
	return best
}
