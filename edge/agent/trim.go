package agent

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// trimAfter is when the start is over: containerd was dialled, models were adopted, the
// link is up.
const trimAfter = 10 * time.Second

// trim gives back, once, the pages of the program that only its start needed. The
// kernel maps sixteen at a time around each that is touched; of 17 MiB mapped after a
// start less than half was ever looked at. What is needed again comes from the page
// cache at the price of a fault.
func (a *Agent) trim(ctx context.Context) error {
	timer := time.NewTimer(trimAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	if err := trimProgram("/proc/self/maps", "/proc/self/exe"); err != nil {
		a.options.Log.Debug("not-trimmed", "error", err.Error()) // memory is held as before
	}
	<-ctx.Done()
	return nil
}

// trimProgram drops what is mapped of the program's file and cannot be written to.
func trimProgram(maps, exe string) error {
	program, err := os.Readlink(exe)
	if err != nil {
		return fmt.Errorf("cannot find program: %w", err)
	}
	file, err := os.Open(maps)
	if err != nil {
		return fmt.Errorf("cannot read mappings: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		from, to, ours := readOnlyMapping(lines.Text(), program)
		if !ours {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("cannot drop pages of the program: %w", errno)
		}
	}
	return lines.Err()
}

// readOnlyMapping reads one line such as
//
//	00400000-01234000 r-xp 00000000 08:01 131 /usr/bin/holdfast
func readOnlyMapping(line, program string) (from, to uintptr, ours bool) {
	span, rest, _ := strings.Cut(line, " ")
	if !strings.HasSuffix(line, " "+program) || len(rest) < 2 || rest[0] != 'r' || rest[1] != '-' {
		return 0, 0, false
	}
	n, err := fmt.Sscanf(span, "%x-%x", &from, &to)
	return from, to, err == nil && n == 2 && from < to
}
