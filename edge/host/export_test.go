package host

import "golang.org/x/sys/unix"

// WithTick stands in for adjtimex(2).
func (o CheckOptions) WithTick(tick func(*unix.Timex) (int, error)) CheckOptions {
	o.tick = tick
	return o
}

// WithRandom stands in for getrandom(2).
func (o CheckOptions) WithRandom(random func([]byte, int) (int, error)) CheckOptions {
	o.random = random
	return o
}
