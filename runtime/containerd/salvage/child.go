package salvage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// request is what a child is to do.
type request struct {
	Task string

	Metadata  string // a file of containerd's
	Snapshots string // the snapshotter's; empty: there is none, or it is not to be looked at
	Trees     string // folder of the snapshots
	Blobs     string // folder of the content
	Namespace string
	Kind      string // the snapshotter

	Into   string // where a new file is written
	Keep   bool   // carry over what others have in Metadata
	Forget bool   // but not their snapshots, which are gone
	Images []entry
	Blob   []blob
	Floor  map[string]uint64 // by namespace, the number of snapshots that is taken
}

// The tasks of a child.
const (
	taskRead    = "read"    // is the file whole, and who has something in it?
	taskCompare = "compare" // does what is ours agree with what is on disk?
	taskNames   = "names"   // what are our images called?
	taskNumbers = "numbers" // which numbers have the snapshots of each namespace?
	taskWrite   = "write"   // make a new file
)

// answer is what it has to say, if it lives.
type answer struct {
	State   State
	Why     string            `json:",omitempty"`
	Foreign []string          `json:",omitempty"`
	Images  []entry           `json:",omitempty"`
	Numbers map[string]uint64 `json:",omitempty"`
}

// ChildMain is the main function of the child: it reads a request and writes an answer.
// What is asked for may make it panic, hang or die.
func ChildMain(stdin io.Reader, stdout io.Writer) int {
	var ask request
	if err := json.NewDecoder(stdin).Decode(&ask); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// If the file makes this process eat memory, it is the one to go.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // best effort
	seconds := uint64(processorTime(ask.size()) / time.Second)
	if err := unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: seconds, Max: seconds}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(stdout).Encode(ask.carryOut()); err != nil {
		return 1
	}
	return 0
}

func (r request) carryOut() answer {
	switch r.Task {
	case taskRead:
		return r.read()
	case taskCompare:
		return r.compare()
	case taskNames:
		return r.names()
	case taskNumbers:
		return r.numbers()
	case taskWrite:
		return r.write()
	}
	return answer{State: Unchecked, Why: fmt.Sprintf("no task %q", r.Task)}
}

func (r request) size() (bytes int64) {
	for _, path := range []string{r.Metadata, r.Snapshots} {
		if info, err := os.Stat(path); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// processorTime is what looking at so many bytes may use. Slow processors check and copy
// 4 MB of them a second; a second goes into starting.
func processorTime(size int64) time.Duration {
	return 3*time.Second + time.Duration(size>>22)*time.Second
}

// ask has a child carry a request out. That it died of it is an answer.
func (o Options) ask(ctx context.Context, ask request) (answer, error) {
	text, err := json.Marshal(ask)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", errUnchecked, err)
	}
	limit := processorTime(ask.size())
	bounded, cancel := context.WithTimeout(ctx, 2*limit) // on a busy machine, or waiting for the disk
	defer cancel()
	command := o.Child(bounded)
	var said, complaint bytes.Buffer
	command.Stdin, command.Stdout = bytes.NewReader(text), &said
	command.Stderr = &bound{to: &complaint, left: 1 << 10}
	command.WaitDelay = 100 * time.Millisecond // the pipe; the process itself was killed
	if err := command.Run(); err != nil {
		return judgeEnd(ctx, bounded, command.ProcessState, err, complaint.String(), limit)
	}
	var got answer
	if err := json.Unmarshal(said.Bytes(), &got); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errUnchecked, err)
	}
	return got, nil
}

// judgeEnd tells the ends that are the file's doing from those that are the machine's.
func judgeEnd(ctx, bounded context.Context, process *os.ProcessState, err error, said string, limit time.Duration) (answer, error) {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return answer{}, ctx.Err()
	case bounded.Err() != nil:
		return answer{}, fmt.Errorf("%w within %v", errUnchecked, 2*limit)
	case !errors.As(err, &exit):
		return answer{}, fmt.Errorf("%w: %w", errUnchecked, err)
	case exit.ExitCode() == 1:
		return answer{}, fmt.Errorf("%w: %s", errUnchecked, firstLine(said))
	}
	used := process.UserTime() + process.SystemTime()
	status, ok := process.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() && status.Signal() == unix.SIGKILL && used < limit/2 && !ateMemory(process) {
		return answer{}, fmt.Errorf("%w: it was killed", errUnchecked)
	}
	return answer{State: Damaged, Why: "reading it ends in: " + firstLine(err.Error()+": "+said)}, nil
}

// ateMemory tells whether a process had become larger than any whole file makes it.
func ateMemory(process *os.ProcessState) bool {
	const most = 512 << 10 // KiB
	usage, ok := process.SysUsage().(*syscall.Rusage)
	return ok && usage.Maxrss > most
}

func firstLine(text string) string {
	line, _, _ := bytes.Cut([]byte(text), []byte("\n"))
	return string(bytes.TrimSpace(line))
}

// bound keeps the first bytes and drops the rest: a dying child may print a lot.
type bound struct {
	to   io.Writer
	left int
}

// Write never fails.
func (b *bound) Write(p []byte) (int, error) {
	take := min(len(p), b.left)
	b.left -= take
	b.to.Write(p[:take]) //nolint:errcheck // into memory
	return len(p), nil
}
