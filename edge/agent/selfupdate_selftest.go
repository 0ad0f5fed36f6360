package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/edge"
	"holdfast/edge/slots"
)

// SelfTestVerb is the argument by which another version of the program is tried: it is
// followed by --state, the folder of a copy of the store, and the flags of run. These words,
// and the fields of SelfTested, are what versions must keep to understand each other.
const SelfTestVerb = "selftest"

// SelfTested is what a version says when it is tried.
type SelfTested struct {
	Version string `json:"version"`
	// Policy is the digest of the policy that it puts in force, from the copy.
	Policy string `json:"policy,omitempty"`
}

const (
	// selfTestWithin bounds a self-test: it takes 0.1 s on a desk, and some seconds on the
	// smallest of gateways.
	selfTestWithin = time.Minute
	// selfTestMemory is ten times what an agent has when it has started.
	selfTestMemory = 256 << 20
	// maxSelfTest bounds what a version may say.
	maxSelfTest = 64 << 10
)

// SelfTest has everything made that the configuration asks for, and the store opened whose
// state folder it names. Nothing outside that folder is touched.
func SelfTest(ctx context.Context, options Options, in Inputs) (SelfTested, error) {
	said := SelfTested{Version: options.Version}
	a, err := New(options, in)
	if err != nil {
		return said, fmt.Errorf("cannot make the agent: %w", err)
	}
	if a.governor == nil {
		return said, fmt.Errorf("the copy is of a node that a policy governs, and this one finds no root document: %w", edge.ErrInvalid)
	}
	if err := a.governor.store.Open(ctx); err != nil {
		return said, fmt.Errorf("cannot open the copy of the store: %w", err)
	}
	said.Policy = a.governor.store.Snapshot().Digest
	return said, a.governor.store.Close()
}

// selfTest tries a program on a copy of the store. That it does not do is a *rejected; any
// other error says nothing of it.
func (u *updater) selfTest(ctx context.Context, t target, program string) error {
	if err := u.reread(); err != nil {
		return fmt.Errorf("the configuration cannot be read as it is now, which says nothing of the version: %w: %w", edge.ErrUnavailable, err)
	}
	state, err := os.MkdirTemp(u.staging, testFolder)
	if err != nil {
		return fmt.Errorf("cannot copy the store: %w: %w", edge.ErrUnavailable, err)
	}
	defer os.RemoveAll(state)
	before := u.governor.store.Snapshot().Digest
	if err := u.governor.store.Copy(ctx, state); err != nil {
		return err
	}
	said, err := u.try(ctx, program, state)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, edge.ErrUnavailable):
		return fmt.Errorf("cannot try version %s: %w", t.Version, err)
	case err != nil:
		return &rejected{t.Binary, "its self-test failed: " + err.Error()}
	case said.Version != t.Version:
		return &rejected{t.Binary, fmt.Sprintf("it says that it is version %.80q", said.Version)}
	case said.Policy != before && u.governor.store.Snapshot().Digest == before:
		return &rejected{t.Binary, fmt.Sprintf("on a copy of the store it finds the policy %.80q, and %q is in force", said.Policy, before)}
	case said.Policy != before:
		return fmt.Errorf("another policy came into force during the self-test: %w", edge.ErrUnavailable)
	}
	return nil
}

// testFolder is the beginning of the names of folders in which copies are tried.
const testFolder = "selftest-"

// clearTests removes what an agent that was killed in the middle of a self-test has left.
func (u *updater) clearTests() {
	left, _ := filepath.Glob(filepath.Join(u.staging, testFolder+"*")) // well formed
	for _, folder := range left {
		if err := os.RemoveAll(folder); err != nil {
			u.log.Warn("selftest-not-removed", "error", err.Error())
		}
	}
}

// tester runs another version of the program as a child.
type tester struct {
	flags, environ []string
	within         time.Duration
	memory         int64
}

func newTester(o Options) tester {
	return tester{flags: o.Flags, environ: withoutManager(slots.WithoutOurs(o.Environ)), within: selfTestWithin, memory: selfTestMemory}
}

// run runs the program, and ends it when it takes too long or too much memory.
func (r tester) run(ctx context.Context, program, state string) (said SelfTested, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.within, fmt.Errorf("it did not end within %v", r.within))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{SelfTestVerb, "--state", state}, r.flags...)...)
	cmd.Env = r.environ
	var out, complaint bounded
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.WaitDelay = time.Second
	// It ends with all it has started: a group of its own, which is ended whole. And with the
	// agent: the kernel sees to that when the thread ends which has started it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		return said, fmt.Errorf("it cannot be started: %w", ofTheNode(err))
	}
	// Not the agent's own: when memory is short it is to go before any workload.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid), []byte("1000"), 0) // it may have ended
	fat := watchMemory(ctx, cmd.Process, r.memory)
	err = cmd.Wait()
	late := context.Cause(ctx)
	_ = cmd.Cancel() // what it may have left; mostly there is nobody
	cancel()
	switch used := <-fat; {
	case used > 0:
		return said, fmt.Errorf("it took %d bytes of memory, and may have %d", used, r.memory)
	case late != nil:
		return said, late
	case isKilled(cmd.ProcessState): // by the kernel, when the machine is short of memory
		return said, fmt.Errorf("it was killed by somebody else: %w", edge.ErrUnavailable)
	case err != nil:
		return said, fmt.Errorf("%w: %s", err, tellingLine(complaint.String()))
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		return said, fmt.Errorf("what it says is no report: %w", err)
	}
	return said, nil
}

// ofTheNode says of a start that failed whether it is the node's trouble: the program's is that
// the kernel cannot run it.
func ofTheNode(err error) error {
	for _, own := range []error{syscall.ENOEXEC, syscall.ENOENT, syscall.EINVAL, syscall.ELIBBAD} {
		if errors.Is(err, own) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", edge.ErrUnavailable, err)
}

func isKilled(ended *os.ProcessState) bool {
	status, is := ended.Sys().(syscall.WaitStatus)
	return is && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// withoutManager leaves out what is between the service manager and the agent alone.
func withoutManager(environ []string) (kept []string) {
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if name != "NOTIFY_SOCKET" && !strings.HasPrefix(name, "WATCHDOG_") && !strings.HasPrefix(name, "LISTEN_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// watchEvery is how often the memory of a program on trial is looked at: it cannot take
// much more between two looks than the kernel can give it.
const watchEvery = 20 * time.Millisecond

// watchMemory ends a process that has more memory than it may. It tells how much it had once
// ctx ends, 0 when it was no more.
func watchMemory(ctx context.Context, process *os.Process, most int64) <-chan int64 {
	used := make(chan int64, 1)
	go func() {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				used <- 0
				return
			case <-ticker.C:
			}
			if now := resident(process.Pid); now > most {
				_ = process.Kill()
				used <- now
				return
			}
		}
	}()
	return used
}

// resident is how many bytes a process has in memory; 0 when the kernel does not say.
func resident(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// bounded keeps the beginning of what is written.
type bounded struct{ bytes.Buffer }

var _ io.Writer = (*bounded)(nil)

// Write takes everything and keeps what there is room for.
func (b *bounded) Write(text []byte) (int, error) {
	b.Buffer.Write(text[:min(len(text), maxSelfTest-b.Len())])
	return len(text), nil
}

// tellingLine is the line of what a program has said that tells why it ended: of its own report,
// of a panic, else the first.
func tellingLine(text string) string {
	first := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "holdfast: ") || strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return fmt.Sprintf("%.300s", line)
		}
		first = cmp.Or(first, line)
	}
	return fmt.Sprintf("%.300s", cmp.Or(first, "it says nothing"))
}
