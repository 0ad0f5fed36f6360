package load

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes a goroutine at an instant, to some microseconds: the runtime's own
// timers wait in whole milliseconds when nothing else is to be done.
type alarm struct {
	fd   int
	file *os.File
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make timer: %w", err)
	}
	return &alarm{fd: fd, file: os.NewFile(uintptr(fd), "timer")}, nil
}

// wait returns once so long has passed; an error means that the alarm was closed.
func (a *alarm) wait(long time.Duration) error {
	if long <= 0 {
		return nil
	}
	var spec unix.ItimerSpec
	spec.Value = unix.NsecToTimespec(long.Nanoseconds())
	if err := unix.TimerfdSettime(a.fd, 0, &spec, nil); err != nil {
		return fmt.Errorf("cannot set timer: %w", err)
	}
	var expirations [8]byte
	if _, err := a.file.Read(expirations[:]); err != nil {
		return fmt.Errorf("cannot wait for timer: %w", err)
	}
	return nil
}

func (a *alarm) close() { _ = a.file.Close() } // of a timer nothing can be lost
