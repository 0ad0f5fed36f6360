package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/build/vm/order"
)

// work runs the steps of the plan.
func work(ctx context.Context) error {
	text, err := os.ReadFile(order.Plan)
	if err != nil {
		return fmt.Errorf("cannot read plan: %w", err)
	}
	var steps []order.Step
	if err := json.Unmarshal(text, &steps); err != nil {
		return fmt.Errorf("cannot read plan: %w", err)
	}
	port, err := openPort(ctx)
	if err != nil {
		return err
	}
	defer port.Close()
	w := worker{to: order.Teller{To: port}}
	for _, step := range steps {
		if err := w.run(ctx, step); err != nil {
			return err
		}
	}
	return w.tell(order.Entry{Over: true})
}

// openPort waits for the port, whose driver the kernel loads while the machine starts.
func openPort(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		port, err := os.OpenFile(filepath.Join("/dev/virtio-ports", order.Port), os.O_WRONLY, 0)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return port, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot open port: %w", err)
		case <-look.C:
		}
	}
}

// worker runs steps and tells of them.
type worker struct {
	mu sync.Mutex // held while something is told
	to order.Teller
}

func (w *worker) tell(e order.Entry) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.At = sinceKernel()
	return w.to.Tell(e)
}

// sinceKernel is the kernel's own clock, which began when it did.
func sinceKernel() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// run runs one step; only what cannot be told is an error.
func (w *worker) run(ctx context.Context, step order.Step) error {
	began := time.Now()
	err := w.command(ctx, step)
	ran := order.Ran{Code: 0, Took: time.Since(began)}
	if err != nil {
		ran.Code, ran.Why = codeOf(err), err.Error()
		w.logged(ctx, step.Name, began)
	}
	return w.tell(order.Entry{Step: step.Name, Ran: &ran})
}

func codeOf(err error) int {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return -1
	}
	return exit.ExitCode()
}

// command runs the program of a step and hands on what it prints.
func (w *worker) command(ctx context.Context, step order.Step) error {
	ctx, cancel := context.WithTimeout(ctx, step.Within)
	defer cancel()
	cmd := exec.CommandContext(ctx, step.Words[0], step.Words[1:]...)
	cmd.Dir, cmd.Env = step.Dir, append(os.Environ(), step.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// What hangs says where: goroutines are what a dump of a Go program shows.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGQUIT) }
	cmd.WaitDelay = 10 * time.Second
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	handed := make(chan error, 1)
	go func() { handed <- w.handOn(step.Name, read) }()
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("it was not over after %v", step.Within)
	}
	_ = write.Close() // it never fails
	return errors.Join(err, <-handed)
}

// handOn tells of every line, cut where it is very long.
func (w *worker) handOn(step string, from *io.PipeReader) error {
	defer func() { _ = from.Close() }() // whoever writes on hears of it; it never fails
	lines := bufio.NewReaderSize(from, 64<<10)
	for {
		line, _, err := lines.ReadLine()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.tell(order.Entry{Step: step, Line: string(line)}); err != nil {
			return err
		}
	}
}

// logged tells what the services have logged during a step, the last of it.
func (w *worker) logged(ctx context.Context, step string, since time.Time) {
	out, err := exec.CommandContext(ctx, "journalctl", "--boot", "--no-pager", "--output=short-monotonic",
		fmt.Sprintf("--since=@%d", since.Unix())).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		lines = append(lines, err.Error())
	}
	const last = 100
	for _, line := range lines[max(0, len(lines)-last):] {
		// The step's own end is told next; if this cannot be, that cannot either.
		_ = w.tell(order.Entry{Step: step, Line: "journal: " + line})
	}
}
