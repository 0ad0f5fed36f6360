package boltfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// How the child that checks a file ends. Anything else, a signal included, means
// that the file did that to it.
const (
	checkOK      = 0
	checkDamaged = 10
	checkUsage   = 11
	checkNewer   = 12
	checkHeld    = 13
	checkNoFile  = 14 // the file could not be opened at all
)

// CheckMain is the main function of the child process. Its arguments name a kind of
// file and a path: it opens that file, reads everything in it as the kind's layout
// says, and returns the exit code. The file may make it panic, hang, or die.
func CheckMain(kinds map[string]Layout, args []string) int {
	if len(args) != 2 {
		fmt.Fprintln(os.Stderr, "cannot check database: name a kind and one file")
		return checkUsage
	}
	layout, known := kinds[args[0]]
	if !known {
		fmt.Fprintf(os.Stderr, "cannot check database: no kind %q\n", args[0])
		return checkUsage
	}
	// If the file makes this process eat memory, it is the one to go.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) // best effort
	// Whatever comes of it, a file that hangs must not keep a processor busy.
	if err := limitProcessor(args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return checkNoFile
	}
	err := checkDatabase(layout, args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return codeOf(err)
}

func codeOf(err error) int {
	switch {
	case err == nil:
		return checkOK
	case errors.Is(err, ErrNewer):
		return checkNewer
	case errors.Is(err, edge.ErrLocked):
		return checkHeld
	case errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist):
		return checkNoFile
	default:
		return checkDamaged
	}
}

// checkDatabase opens a file as its owner would, but for writing.
func checkDatabase(layout Layout, path string) error {
	db, err := openDatabase(RealDisk{}, path, layout.MaxBytes, true)
	if err != nil {
		return err
	}
	defer db.close() //nolint:errcheck // the process ends here
	err = db.bolt.View(func(tx *bbolt.Tx) error {
		var first error
		for problem := range tx.Check() {
			if first == nil {
				first = fmt.Errorf("%w: %v", ErrDamaged, problem)
			}
		}
		return first
	})
	if err != nil {
		return err
	}
	_, _, err = layout.of(db)
	return err
}

// processorTime is what the check of a file may use. Slow ones read and hash 20 MB a
// second; a second goes into starting.
func processorTime(size int64) time.Duration {
	return 2*time.Second + time.Duration(size>>23)*time.Second
}

// waitLimit is how long the check of a file is waited for.
func waitLimit(size int64) time.Duration { return processorTime(size) + time.Second }

// limitProcessor has the kernel end this process once it has used its time.
func limitProcessor(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	seconds := uint64(processorTime(info.Size()) / time.Second)
	return unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: seconds, Max: seconds})
}

// patience is how often checks may come to no end without using their time, and none
// end well, before that is held against the file.
const patience = 3

var (
	// errUnchecked: the check itself could not be made, so nothing is known.
	errUnchecked = errors.New("the database could not be checked")
	// errSlow: the machine, or the disk, may be too busy. Or the file is to blame.
	errSlow = fmt.Errorf("%w in time", errUnchecked)
)

// check runs the child on a file. It gives nil, ErrDamaged, ErrNewer,
// edge.ErrLocked or errUnchecked, wrapped.
func (f *File) check(ctx context.Context, path string) error {
	limit := f.options.Layout.MaxBytes
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > int64(limit) {
		return fmt.Errorf("%w: not a file of at most %d bytes", ErrDamaged, limit)
	}
	err = f.runChild(ctx, path, info.Size())
	switch {
	case err == nil:
		f.slow = 0
	case errors.Is(err, errSlow):
		if f.slow++; f.slow >= patience {
			return fmt.Errorf("%w: checked %d times: %v", ErrDamaged, f.slow, err)
		}
	}
	return err
}

func (f *File) runChild(ctx context.Context, path string, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, waitLimit(size))
	defer cancel()
	cmd := f.options.Child(ctx, path)
	said := &strings.Builder{}
	cmd.Stderr = &bounded{to: said, left: 512}
	cmd.WaitDelay = 100 * time.Millisecond // the pipe; the process itself was killed
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well; that it had nothing to say was not yet heard, on a busy machine
	}
	if err != nil && ctx.Err() == nil && wasKilled(cmd.ProcessState, processorTime(size)) {
		return fmt.Errorf("%w: the check was killed", errSlow)
	}
	return verdict(ctx, err, firstLine(said.String()))
}

// wasKilled tells whether a process was killed though it had time left: memory may be
// short, and then a check is the first to go.
func wasKilled(process *os.ProcessState, limit time.Duration) bool {
	if process == nil {
		return false
	}
	status, ok := process.Sys().(syscall.WaitStatus)
	used := process.UserTime() + process.SystemTime()
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL && used < limit/2
}

func verdict(ctx context.Context, err error, said string) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: %v", errUnchecked, ctx.Err())
	case ctx.Err() != nil:
		return errSlow
	case !errors.As(err, &exit):
		return fmt.Errorf("%w: %v", errUnchecked, err)
	}
	switch exit.ExitCode() {
	case checkNewer:
		return fmt.Errorf("%w: %s", ErrNewer, said)
	case checkHeld:
		return fmt.Errorf("%w: another process has it", edge.ErrLocked)
	case checkNoFile, checkUsage:
		return fmt.Errorf("%w: %s", errUnchecked, said)
	}
	return fmt.Errorf("%w: %v: %s", ErrDamaged, err, said)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// bounded keeps the first bytes and drops the rest: a dying child may print a lot.
type bounded struct {
	to   io.Writer
	left int
}

// Write never fails.
func (b *bounded) Write(p []byte) (int, error) {
	take := min(len(p), b.left)
	b.left -= take
	b.to.Write(p[:take]) //nolint:errcheck // into memory
	return len(p), nil
}
