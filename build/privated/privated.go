package privated

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say where the daemon lives and what it is made of.
type Options struct {
	// Dir holds root, state, socket, log and pid file. It is created, and kept
	// by Close for its images.
	Dir string
	// ToolsDir holds containerd, containerd-shim-runc-v2 and ctr; empty asks
	// ToolsVariable, then .tools/bin beside the go.mod above the working directory.
	ToolsDir string
	// CgroupParent is removed with everything below it by Close, for example
	// /holdfast-dev. Empty removes no cgroup.
	CgroupParent string
	// Discard has Close empty Dir, but for the lock file that others may wait for:
	// for tests, which keep nothing.
	Discard bool
}

// Daemon is a running private containerd.
type Daemon struct {
	opts  Options
	lay   layout
	lock  *os.File
	tools string

	mu     sync.Mutex // guards what follows
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	closed bool
}

// answerWithin bounds how long a started daemon may take until it answers: it
// takes 100 ms on two cores, and a flash-backed board a few seconds.
const answerWithin = 30 * time.Second

// Start clears away what an earlier run left in opts.Dir, starts a daemon there
// and returns once it answers.
func Start(ctx context.Context, opts Options) (*Daemon, error) {
	tools, err := findTools(opts.ToolsDir)
	if err != nil {
		return nil, err
	}
	d := &Daemon{opts: opts, lay: newLayout(opts.Dir), tools: tools}
	if err := d.lay.create(); err != nil {
		return nil, err
	}
	if d.lock, err = lockFolder(ctx, d.lay.lock); err != nil {
		return nil, err
	}
	if err := d.bringUp(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Daemon) bringUp(ctx context.Context) error {
	if err := d.lay.clear(d.opts.CgroupParent); err != nil {
		return fmt.Errorf("cannot clear what an earlier run left: %w", err)
	}
	if err := d.lay.create(); err != nil {
		return err
	}
	if err := d.launch(ctx); err != nil {
		return err
	}
	// Their tasks are gone, so these records only stand in the way.
	return d.dropContainers(ctx)
}

// Socket is where the daemon answers.
func (d *Daemon) Socket() string { return d.lay.socket }

// Tool is the path of a program that came with the daemon, such as ctr.
func (d *Daemon) Tool(name string) string { return filepath.Join(d.tools, name) }

// LogPath is the daemon's own log.
func (d *Daemon) LogPath() string { return d.lay.log }

// PID is the daemon's process id, or 0 when it does not run.
func (d *Daemon) PID() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return 0
	}
	return d.cmd.Process.Pid
}

// Kill ends the daemon at once, as a crash would: containers and shims go on.
func (d *Daemon) Kill() error { return d.end(unix.SIGKILL) }

// Restart starts the daemon again on what it holds, ending it first when it
// still runs. Containers are left alone throughout.
func (d *Daemon) Restart(ctx context.Context) error {
	if err := d.end(unix.SIGTERM); err != nil {
		return err
	}
	return d.launch(ctx)
}

// Close kills every container, stops the daemon and removes every process,
// mount, cgroup and socket of its own. A second call does nothing.
func (d *Daemon) Close() error {
	d.mu.Lock()
	closed := d.closed
	d.closed = true
	d.mu.Unlock()
	if closed {
		return nil
	}
	// A daemon that answers forgets its containers properly; one that does not
	// is cleared from outside, and forgets them at the next Start.
	var dropped error
	if d.PID() != 0 {
		dropped = d.dropContainers(context.Background())
	}
	failed := errors.Join(dropped, d.end(unix.SIGTERM), d.lay.clear(d.opts.CgroupParent))
	if d.opts.Discard && failed == nil {
		failed = d.lay.discard()
	}
	return errors.Join(failed, d.lock.Close())
}

// Clean removes what a run in dir left behind: processes, mounts, cgroups and
// sockets. It is for a dir whose daemon was never closed, and does nothing to a
// dir that a living process holds.
func Clean(dir, cgroupParent string) error {
	lay := newLayout(dir)
	if err := lay.create(); err != nil {
		return err
	}
	lock, err := os.OpenFile(lay.lock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open lock: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("cannot clean %q: another process holds it", dir)
	}
	return lay.clear(cgroupParent)
}

// launch starts the daemon and waits until it answers.
func (d *Daemon) launch(ctx context.Context) error {
	logFile, err := os.OpenFile(d.lay.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open daemon log: %w", err)
	}
	defer logFile.Close()
	cmd := exec.Command(filepath.Join(d.tools, "containerd"), "--config", d.lay.config)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Env = d.environment()
	// Its own process group keeps the keyboard's interrupt away from it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start containerd: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its state is asked of cmd.ProcessState
		close(exited)
	}()
	d.mu.Lock()
	d.cmd, d.exited = cmd, exited
	d.mu.Unlock()
	if err := d.lay.writePID(cmd.Process.Pid); err != nil {
		return err
	}
	return d.awaitAnswer(ctx, exited)
}

// environment puts the tools first in the path, so that the daemon takes the
// shim that was built with it.
func (d *Daemon) environment() []string {
	return append(os.Environ(), "PATH="+d.tools+":"+os.Getenv("PATH"))
}

func (d *Daemon) awaitAnswer(ctx context.Context, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if _, err := os.Stat(d.lay.socket); err == nil {
			if _, err := d.ctr(ctx, "version"); err == nil {
				return nil
			}
		}
		select {
		case <-exited:
			return fmt.Errorf("containerd ended while starting, its log says:\n%s", d.lay.logEnd())
		case <-ctx.Done():
			return fmt.Errorf("containerd does not answer: %w, its log says:\n%s", ctx.Err(), d.lay.logEnd())
		case <-poll.C:
		}
	}
}

// end signals the daemon and waits for its end, with force after a while.
func (d *Daemon) end(signal syscall.Signal) error {
	d.mu.Lock()
	cmd, exited := d.cmd, d.exited
	d.cmd = nil
	d.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot signal containerd: %w", err)
	}
	select {
	case <-exited:
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill() // it may have ended by itself just now
		<-exited
	}
	return nil
}

// lockFolder takes the folder for this process, waiting for another to let go.
func lockFolder(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open lock: %w", err)
	}
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("cannot lock %q, another private containerd holds it: %w", path, ctx.Err())
		case <-poll.C:
		}
	}
	return file, nil
}
