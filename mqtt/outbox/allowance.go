package outbox

import "time"

// allowance is what may be written to flash: so much a day, and a little at once
// after a time of quiet. It paces; what must be written is written on credit.
type allowance struct {
	rate  float64 // bytes per second
	most  float64 // bytes that may be saved up, and owed
	level float64
	at    time.Time
}

func newAllowance(perDay, most int64) allowance {
	return allowance{rate: float64(perDay) / (24 * time.Hour).Seconds(), most: float64(most), level: float64(most)}
}

func (a *allowance) count(now time.Time) {
	if !a.at.IsZero() {
		a.level = min(a.most, a.level+a.rate*now.Sub(a.at).Seconds())
	}
	a.at = now
}

// wait is how long until a cost can be met.
func (a *allowance) wait(now time.Time, cost int) time.Duration {
	a.count(now)
	missing := min(float64(cost), a.most) - a.level
	return time.Duration(max(0, missing) / a.rate * float64(time.Second))
}

func (a *allowance) spend(now time.Time, cost int) {
	a.count(now)
	a.level = max(-a.most, a.level-float64(cost))
}
