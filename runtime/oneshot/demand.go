package oneshot

import "time"

const (
	// burst is the span in which tasks come together: what stands ready serves them, for one
	// container after the other is made, which takes a tenth of a second.
	burst = time.Second
	// memory is how long a burst is remembered. What comes more seldom is not worth the memory
	// that a container takes which stands ready.
	memory = time.Minute
	// maxArrivals bounds what is remembered: four times the most that may stand ready.
	maxArrivals = 256
)

// demand is when tasks came lately.
type demand struct{ arrivals []time.Time }

// note takes in a task that comes now.
func (d *demand) note(now time.Time) {
	d.forget(now)
	if len(d.arrivals) == maxArrivals {
		d.arrivals = append(d.arrivals[:0], d.arrivals[1:]...)
	}
	d.arrivals = append(d.arrivals, now)
}

// forget drops what is too long ago.
func (d *demand) forget(now time.Time) {
	old := 0
	for old < len(d.arrivals) && now.Sub(d.arrivals[old]) >= memory {
		old++
	}
	d.arrivals = append(d.arrivals[:0], d.arrivals[old:]...)
}

// peak is the most tasks that came within one burst, of those remembered.
func (d *demand) peak(now time.Time) int {
	d.forget(now)
	most, first := 0, 0
	for last, at := range d.arrivals {
		for at.Sub(d.arrivals[first]) >= burst {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// changes is when peak may become less; zero: not by itself.
func (d *demand) changes() time.Time {
	if len(d.arrivals) == 0 {
		return time.Time{}
	}
	return d.arrivals[0].Add(memory)
}
