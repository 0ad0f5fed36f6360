package policycache

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/boltfile"
)

// lockLimit is within what an agent that is just stopping lets go.
const lockLimit = time.Second

// lockFile takes the lock on the state folder, which outlives any one database file.
func lockFile(disk boltfile.Disk, name string, limit time.Duration) (*os.File, error) {
	file, err := disk.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return file, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			file.Close()
			return nil, fmt.Errorf("cannot lock %q: %w", name, err)
		case time.Now().After(deadline):
			file.Close()
			return nil, fmt.Errorf("cannot lock %q: %w", name, edge.ErrLocked)
		}
	}
}

// bootTime is how long the machine has been up, suspended time included.
func bootTime() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0 // every kernel since 2.6.39 has the clock
	}
	return time.Duration(now.Nano())
}

// bootID tells one boot from another. Where the kernel does not say, every start
// counts as a boot, which can only end a lease early.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
