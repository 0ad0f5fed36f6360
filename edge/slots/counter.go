package slots

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge/boltfile"
)

// A confirmed version that ends early again and again is left. The starts are counted in a
// file in memory: that costs no flash, and a machine whose power comes and goes does not
// blame its agent. See Settle for what sets it back.
const (
	// earlyEnds in a row are a loop: some ten seconds of crashes at start, or the ten
	// minutes in which systemd ends a version eight times that never gets ready.
	earlyEnds = 8
	// longAgo is when a start before this one says nothing about it. systemd gives a
	// version that hangs 90 seconds.
	longAgo = 5 * time.Minute
	// maxCounter bounds the file, in bytes.
	maxCounter = 256
)

// starts is the file: what was started, how often in a row, and when the last time, since
// the machine was.
type starts struct {
	what  string
	count int
	last  time.Duration
}

const startsFormat = "%s %d %d\n"

func (s *Store) startsPath() string { return filepath.Join(s.o.Run, "starts") }

// earlyStarts is how often something was started lately without lasting. Whatever is wrong
// with the file counts as none: then nothing is left for that reason.
func (s *Store) earlyStarts(what string) int {
	if s.o.Run == "" {
		return 0
	}
	content, err := boltfile.ReadBounded(s.startsPath(), maxCounter)
	if err != nil {
		return 0
	}
	var found starts
	if _, err := fmt.Sscanf(string(content), startsFormat, &found.what, &found.count, &found.last); err != nil {
		return 0
	}
	if since := sinceBoot() - found.last; found.what != what || found.count < 0 || since < 0 || since > longAgo {
		return 0
	}
	return found.count
}

// countStart notes that something is about to be started.
func (s *Store) countStart(what string) {
	if s.o.Run == "" {
		return
	}
	count := min(s.earlyStarts(what), earlyEnds) + 1
	text := fmt.Sprintf(startsFormat, what, count, sinceBoot())
	// Without the file nothing is counted, and nothing is left.
	_ = os.WriteFile(s.startsPath(), []byte(text), 0o600)
}

// forgetStarts sets the counter back.
func (s *Store) forgetStarts() {
	if s.o.Run != "" {
		_ = os.Remove(s.startsPath()) // it may not be there
	}
}

// sinceBoot is the time since the machine was started, which no clock can set.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
