package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn" // works, and something is not as it should be
	LevelFail Level = "fail" // containers cannot run, or not as promised
)

// Finding is one result of an examination.
type Finding struct {
	Code    string `json:"code"` // stable, lower-case with dashes
	Level   Level  `json:"level"`
	Subject string `json:"subject"`
	Detail  string `json:"detail"`
	Remedy  string `json:"remedy,omitempty"`
}

// CheckOptions say what to examine.
type CheckOptions struct {
	StateDir          string
	RunDir            string
	ContainerdAddress string // its socket; empty leaves it out

	Root     string        // stands before /proc, /sys and /lib; empty: the machine itself
	Runc     string        // the program; empty looks where containerd finds it
	Patience time.Duration // how long runc may take to answer; 0: 3 s
	Built    time.Time     // when this program was built; the clock must not be before it
	Now      time.Time     // zero: the clock

	ContainerdRoot    string // where containerd keeps images; empty leaves its disk out
	ContainerdVersion string // of the running daemon; empty: it is not known
	Beside            string // the program of the running daemon, which looks for its shim there first
	Shim              string // the program; empty looks where containerd finds it
	Ports             []Port // that must be free, or the agent's own

	random func(buffer []byte, flags int) (int, error) // getrandom(2)
	tick   func(*unix.Timex) (int, error)              // adjtimex(2)
}

// Port is one that the agent listens on.
type Port struct {
	Code    string
	Address string // host:port
	Owner   int    // the process that has it rightly; 0: nobody has
}

// epoch stands in for the time of the build when that is not known: the year this
// program was written in.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (o CheckOptions) withDefaults() CheckOptions {
	if o.Patience == 0 {
		o.Patience = 3 * time.Second // a cold start from slow flash
	}
	if o.Built.IsZero() {
		o.Built = epoch
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.random == nil {
		o.random = unix.Getrandom
	}
	if o.tick == nil {
		o.tick = unix.Adjtimex
	}
	return o
}

// Check examines the machine. It changes nothing but for a small file or folder it
// makes and removes where the agent will write. A question that hangs, as one to a file
// system whose disk has gone does, is given up after the patience of all of them.
func Check(ctx context.Context, o CheckOptions) []Finding {
	o = o.withDefaults()
	questions := []question{
		{"kernel", func() Finding { return checkKernel(o) }},
		{"namespaces", func() Finding { return checkNamespaces(o) }},
		{"seccomp", func() Finding { return checkSeccomp(o) }},
		{"overlayfs", func() Finding { return checkOverlay(o) }},
		{"cgroups", func() Finding { return checkCgroups(o) }},
		{"freezer", func() Finding { return checkFreezer(o) }},
		{"cpu-idle", func() Finding { return checkIdle(o) }},
		{"state-folder", func() Finding { return checkFolder("state-folder", o.StateDir) }},
		{"run-folder", func() Finding { return checkFolder("run-folder", o.RunDir) }},
		{"disk", func() Finding { return checkDisk("disk", o.StateDir) }},
		{"disk-sync", func() Finding { return checkSync(o) }},
		{"persistence", func() Finding { return checkPersistence(o) }},
		{"clock", func() Finding { return checkClock(o) }},
		{"clock-sync", func() Finding { return checkClockSync(o) }},
		{"clock-jump", func() Finding { return checkClockJump(o) }},
		{"entropy", func() Finding { return checkRandom(o) }},
		{"open-files", func() Finding { return checkFiles(o) }},
		{"runc", func() Finding { return checkRunc(ctx, o) }},
		{"shim", func() Finding { return checkShim(ctx, o) }},
	}
	if o.ContainerdRoot != "" {
		questions = append(questions, question{"containerd-disk", func() Finding { return checkDisk("containerd-disk", o.ContainerdRoot) }})
	}
	for _, port := range o.Ports {
		questions = append(questions, question{port.Code, func() Finding { return checkPort(o, port) }})
	}
	if o.ContainerdAddress != "" {
		questions = append(questions, question{"containerd-socket", func() Finding { return checkSocket(o.ContainerdAddress) }})
	}
	return askAll(ctx, questions, 3*o.Patience) // two programs are asked, one after the other
}

// question is one that may hang in the kernel.
type question struct {
	code string
	ask  func() Finding
}

// askAll asks side by side and answers in order. What hangs in the kernel cannot be
// ended; its goroutine stays until the kernel lets go, and nobody listens to it.
func askAll(ctx context.Context, questions []question, patience time.Duration) []Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers := make([]chan Finding, len(questions))
	for i, q := range questions {
		answers[i] = make(chan Finding, 1)
		go func() { answers[i] <- q.ask() }()
	}
	findings := make([]Finding, len(questions))
	for i, q := range questions {
		select {
		case findings[i] = <-answers[i]:
		case <-ctx.Done():
			findings[i] = finding(q.code, LevelFail, q.code, fmt.Sprintf("hangs: no answer within %v", patience),
				"see dmesg for a disk or a mount that does not answer; restart the node")
		}
	}
	return findings
}

// finding fills in a result; the remedy counts only when something is wrong.
func finding(code string, level Level, subject, detail, remedy string) Finding {
	if level == LevelOK {
		remedy = ""
	}
	return Finding{Code: code, Level: level, Subject: subject, Detail: detail, Remedy: remedy}
}

// existing is the path itself, or the nearest folder above it that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}
