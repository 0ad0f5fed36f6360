package scheduler

import (
	"time"

	"holdfast/edge"
)

// forecastSpan is how far back the forecast looks: one to two of these. Shorter ones take a
// burst for the rule and refuse batch work that would fit behind it.
const forecastSpan = instant(20 * time.Second)

// mostForecast is the most that is kept free, in 1024ths: nine tenths.
const mostForecast = 922

// forecast says how much of the node's time tasks of each class have asked for of late, and
// so how much is to be kept for those yet to come.
type forecast struct {
	began     instant
	now, last [len(edge.Classes)]time.Duration // work let in since began, and in the span before
}

// add counts a task that is let in.
func (f *forecast) add(now instant, class edge.Class, work time.Duration) {
	f.roll(now)
	f.now[class] += work
}

func (f *forecast) roll(now instant) {
	for now-f.began >= forecastSpan {
		f.last, f.now = f.now, [len(edge.Classes)]time.Duration{}
		f.began += forecastSpan
		if now-f.began >= 2*forecastSpan {
			f.began = now
		}
	}
}

// share is how much of the node's time more pressing classes will ask for, in 1024ths.
func (f *forecast) share(now instant, slots int) (shares [len(edge.Classes)]instant) {
	f.roll(now)
	span := (now - f.began + forecastSpan) * instant(slots)
	var work instant
	for class := range edge.Classes {
		shares[class] = min(work/(span/1024+1), mostForecast)
		work += instant(f.now[class] + f.last[class])
	}
	return shares
}
