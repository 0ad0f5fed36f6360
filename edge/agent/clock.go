package agent

import "time"

// clockFloor is a time that has certainly passed.
func (a *Agent) clockFloor() time.Time {
	if a.governor != nil {
		if floor := a.governor.store.Status().ClockFloor; !floor.IsZero() {
			return floor
		}
	}
	return a.options.Built
}
