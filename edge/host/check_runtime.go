package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// checkClock finds a clock that starts at its zero after a power cut. Deadlines
// do not depend on it; certificates and reports do.
func checkClock(o CheckOptions) Finding {
	const code, remedy = "clock", "set the clock, or let NTP do it"
	const latest = 50 * 365 * 24 * time.Hour // no gateway runs a program for longer
	stamp := o.Now.UTC().Format(time.RFC3339)
	switch {
	case o.Now.Before(o.Built):
		return finding(code, LevelWarn, stamp, "is before this program was built ("+o.Built.UTC().Format(time.DateOnly)+")", remedy)
	case o.Now.Sub(o.Built) > latest:
		return finding(code, LevelWarn, stamp, "is decades after this program was built", remedy)
	}
	return finding(code, LevelOK, stamp, "is plausible", "")
}

// checkRandom asks whether random numbers come at once. Early in the life of a
// headless gateway they may not, and whatever needs keys waits.
func checkRandom(o CheckOptions) Finding {
	const code, subject = "entropy", "random numbers"
	var buffer [16]byte
	_, err := o.random(buffer[:], unix.GRND_NONBLOCK)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return finding(code, LevelWarn, subject, "the kernel has gathered too little randomness yet", "wait, or enable the hardware generator (rng-tools)")
	case err != nil:
		return finding(code, LevelFail, subject, err.Error(), "use a kernel with getrandom")
	}
	return finding(code, LevelOK, subject, "are available", "")
}

// enoughFiles is room for a thousand clients, their instances and the logs.
const enoughFiles = 4096

func checkFiles(o CheckOptions) Finding {
	const code, subject = "open-files", "open files"
	const remedy = "raise LimitNOFILE in the unit, or ulimit -n"
	content, err := os.ReadFile(o.Root + "/proc/self/limits")
	if err != nil {
		return finding(code, LevelWarn, subject, err.Error(), "mount /proc")
	}
	for entry := range strings.Lines(string(content)) {
		values, found := strings.CutPrefix(entry, "Max open files")
		fields := strings.Fields(values)
		if !found || len(fields) < 2 {
			continue
		}
		hard, err := strconv.ParseUint(fields[1], 10, 64)
		if err == nil && hard < enoughFiles {
			return finding(code, LevelWarn, subject, fmt.Sprintf("at most %d may be open, fewer than %d", hard, enoughFiles), remedy)
		}
		return finding(code, LevelOK, subject, "up to "+fields[1], "")
	}
	return finding(code, LevelWarn, subject, "the limit cannot be read", remedy)
}

var runcVersion = regexp.MustCompile(`(?m)^runc version (\d+)\.(\d+)\.(\d+)\S*`)

// oldestRunc is that of Debian 12.
var oldestRunc = []int{1, 1, 0}

func checkRunc(ctx context.Context, o CheckOptions) Finding {
	const code, remedy = "runc", "apt-get install runc, or put it on the PATH of containerd"
	program, err := findRunc(o.Runc)
	if crun, other := findProgram("crun"); err != nil && other == nil && o.Runc == "" {
		return finding(code, LevelFail, "runc", "is not there; "+crun+" is, and containerd looks for runc",
			"apt-get install runc, or ln -s "+crun+" /usr/local/sbin/runc")
	}
	if err != nil {
		return finding(code, LevelFail, "runc", err.Error(), remedy)
	}
	output, err := o.run(ctx, program, "--version")
	if err != nil {
		return finding(code, LevelFail, program, err.Error(), remedy)
	}
	return judgeRunc(program, output)
}

func judgeRunc(program, output string) Finding {
	const code, remedy = "runc", "install runc 1.1 or newer"
	match := runcVersion.FindStringSubmatch(output)
	if match == nil {
		return finding(code, LevelFail, program, "does not say a version of runc", remedy)
	}
	var version []int
	for _, part := range match[1:] {
		n, err := strconv.Atoi(part)
		if err != nil { // more digits than an int has
			return finding(code, LevelFail, program, "does not say a version of runc", remedy)
		}
		version = append(version, n)
	}
	text := strings.TrimPrefix(match[0], "runc ")
	if slices.Compare(version, oldestRunc) < 0 {
		return finding(code, LevelWarn, program, text+" is older than 1.1.0", remedy)
	}
	return finding(code, LevelOK, program, text, "")
}

// findRunc finds runc; findProgram also looks where a service's PATH may not lead.
func findRunc(given string) (string, error) {
	if given != "" {
		return exec.LookPath(given)
	}
	return findProgram("runc")
}

func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, folder := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin"} {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// checkSocket asks only whether somebody listens; what daemon it is, its client
// finds out.
func checkSocket(address string) Finding {
	const code, remedy = "containerd-socket", "start containerd (systemctl start containerd), or set containerd.address"
	connection, err := net.DialTimeout("unix", address, time.Second)
	if err != nil {
		return finding(code, LevelFail, address, err.Error(), remedy)
	}
	connection.Close()
	return finding(code, LevelOK, address, "somebody listens", "")
}
