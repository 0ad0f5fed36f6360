package host

import (
	"context"
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

	random func(buffer []byte, flags int) (int, error) // getrandom(2)
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
	return o
}

// Check examines the machine. It changes nothing but for a small file or folder it
// makes and removes where the agent will write.
func Check(ctx context.Context, o CheckOptions) []Finding {
	o = o.withDefaults()
	findings := []Finding{
		checkKernel(o), checkSeccomp(o), checkOverlay(o), checkCgroups(o),
		checkFolder("state-folder", o.StateDir), checkFolder("run-folder", o.RunDir),
		checkDisk(o), checkPersistence(o),
		checkClock(o), checkRandom(o), checkFiles(o), checkRunc(ctx, o),
	}
	if o.ContainerdAddress != "" {
		findings = append(findings, checkSocket(o.ContainerdAddress))
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
