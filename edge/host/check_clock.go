package host

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// checkClockSync asks the kernel whether somebody keeps its clock right.
func checkClockSync(o CheckOptions) Finding {
	const code, subject = "clock-sync", "synchronisation of the clock"
	const timeError = 5 // TIME_ERROR: the state that adjtimex(2) returns
	var status unix.Timex
	state, err := o.tick(&status)
	switch {
	case err != nil:
		return finding(code, LevelWarn, subject, err.Error(), "run as root, or look with timedatectl")
	case state == timeError || status.Status&unix.STA_UNSYNC != 0:
		return finding(code, LevelWarn, subject, "nobody keeps the clock right; deadlines do not need it, certificates and reports do",
			"enable a time service (timedatectl set-ntp true), or give the node a real-time clock")
	}
	return finding(code, LevelOK, subject, fmt.Sprintf("the clock is right within %v", (time.Duration(status.Maxerror)*time.Microsecond).Round(time.Millisecond)), "")
}

// leap is how far the clock may be behind what was written before: two disks need not
// agree better.
const leap = 2 * time.Minute

// checkClockJump looks for a clock that was set back: the agent's files are then from
// days that are still to come.
func checkClockJump(o CheckOptions) Finding {
	const code = "clock-jump"
	entries, err := os.ReadDir(o.StateDir)
	if err != nil {
		return finding(code, LevelOK, o.StateDir, "there is nothing yet to compare the clock with", "")
	}
	var latest time.Time
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	if ahead := latest.Sub(o.Now); ahead > leap {
		return finding(code, LevelWarn, o.StateDir, fmt.Sprintf("was written to %v from now: the clock was set back", ahead.Round(time.Minute)),
			"set the clock, or let NTP do it; the lease and the order of policies do not depend on it")
	}
	return finding(code, LevelOK, o.StateDir, "was written to before now", "")
}
