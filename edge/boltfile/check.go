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
	// Should the parent die first, a file that hangs must not keep a processor busy.
	time.AfterFunc(2*checkLimit, func() { os.Exit(checkDamaged) })
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

// errUnchecked: the check itself could not be made, so nothing is known.
var errUnchecked = errors.New("the database could not be checked")

// check runs the child on a file. It gives nil, ErrDamaged, ErrNewer,
// edge.ErrLocked or errUnchecked, wrapped.
func (f *File) check(ctx context.Context, path string) error {
	limit := f.options.Layout.MaxBytes
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > int64(limit) {
		return fmt.Errorf("%w: not a file of at most %d bytes", ErrDamaged, limit)
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	cmd := f.options.Child(ctx, path)
	said := &strings.Builder{}
	cmd.Stderr = &bounded{to: said, left: 512}
	cmd.WaitDelay = 100 * time.Millisecond // the pipe; the process itself was killed
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	err := cmd.Run()
	return verdict(ctx, err, firstLine(said.String()))
}

func verdict(ctx context.Context, err error, said string) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: %v", errUnchecked, ctx.Err())
	case ctx.Err() != nil:
		return fmt.Errorf("%w: the check took longer than %v", ErrDamaged, checkLimit)
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
