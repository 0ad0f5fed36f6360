package load

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// hurried is the lowest of the real-time priorities: above everything ordinary.
const hurried = 1

// Hurry gives this process precedence over whatever ordinary else runs on the machine. Callers
// elsewhere are not slowed down by what they load a node with; a generator on the node itself
// would be. It needs the right to; without it nothing changes.
func Hurry() error {
	// Priorities belong to threads, and those to come have that of who makes them. The
	// second time finds what was made during the first.
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("cannot list own threads: %w", err)
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return fmt.Errorf("cannot read thread %q: %w", thread.Name(), err)
			}
			if err := unix.SchedSetAttr(id, &unix.SchedAttr{Policy: unix.SCHED_RR, Priority: hurried}, 0); err != nil {
				return fmt.Errorf("cannot take precedence: %w", err)
			}
		}
	}
	return nil
}
