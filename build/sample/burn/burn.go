// Package burn uses up CPU time in exact amounts, for model servers whose work has to
// be known.
//
// # Promise
//
// CPU uses what is asked for as the kernel counts it for one thread, and some
// microseconds more. Being preempted, throttled or frozen makes it take longer, not
// use more.
//
// # Concurrency
//
// Calls are independent of each other; each holds a thread of its own.
//
// # Failure
//
// It ends early when its context does, with what was used until then.
package burn

import (
	"context"
	"fmt"
	goruntime "runtime"
	"time"

	"golang.org/x/sys/unix"
)

// CPU uses so much CPU time on one thread and returns what it really used.
func CPU(ctx context.Context, amount time.Duration) (time.Duration, error) {
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	start, err := threadTime()
	if err != nil {
		return 0, err
	}
	for used := time.Duration(0); ; {
		if used >= amount {
			return used, nil
		}
		if err := ctx.Err(); err != nil {
			return used, fmt.Errorf("stopped after %v of %v: %w", used, amount, err)
		}
		spin()
		now, err := threadTime()
		if err != nil {
			return used, err
		}
		used = now - start
	}
}

// threadTime is the CPU time of the calling thread.
func threadTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0, fmt.Errorf("cannot read CPU time: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// spin works for some microseconds between two looks at the clock.
func spin() {
	x := uint32(1)
	for range 2000 {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
	}
	goruntime.KeepAlive(x)
}
