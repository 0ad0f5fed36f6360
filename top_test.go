package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// person sits before a terminal.
type person struct {
	t     *testing.T
	hand  *os.File // what is pressed and seen
	tty   *os.File // what programs are given
	seen  string   // since the last that was waited for
	modes unix.Termios
}

// in is the person for a part of the test.
func (p *person) in(t *testing.T) *person {
	p.t, p.seen = t, ""
	return p
}

func sit(t *testing.T) *person {
	t.Helper()
	hand, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hand.Close() })
	p := &person{t: t, hand: hand}
	var number int
	p.control(func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) })
	p.control(func(fd int) error {
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	p.tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.tty.Close() })
	p.modes = p.now()
	return p
}

// control asks something of the terminal; its file stays one that can be waited for.
func (p *person) control(ask func(fd int) error) {
	p.t.Helper()
	conn, err := p.hand.SyscallConn()
	if err == nil {
		err = errors.Join(conn.Control(func(fd uintptr) { err = ask(int(fd)) }), err)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) now() unix.Termios {
	p.t.Helper()
	modes, err := unix.IoctlGetTermios(int(p.tty.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *modes
}

func (p *person) resize(columns, lines uint16) {
	p.t.Helper()
	p.control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: lines, Col: columns})
	})
}

// starts a program in the terminal.
func (p *person) starts(name string, env []string, args ...string) *exec.Cmd {
	p.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = p.tty, p.tty, p.tty, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return cmd
}

// sees waits until words have been written.
func (p *person) sees(words string) {
	p.t.Helper()
	if err := p.hand.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	buffer := make([]byte, 64<<10)
	for !strings.Contains(p.seen, words) {
		n, err := p.hand.Read(buffer)
		if err != nil {
			p.t.Fatalf("%q is not seen (%v) in:\n%q", words, err, p.seen)
		}
		p.seen += string(buffer[:n])
	}
	_, p.seen, _ = strings.Cut(p.seen, words)
}

func (p *person) presses(keys string) {
	p.t.Helper()
	if _, err := io.WriteString(p.hand, keys); err != nil {
		p.t.Fatal(err)
	}
}

// ends wants a program to end so, with the terminal as it was.
func (p *person) ends(cmd *exec.Cmd, code int) {
	p.t.Helper()
	p.sees("\x1b[?25h\x1b[?1049l")
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit code %d, want %d", got, code)
	}
	if got := p.now(); got != p.modes {
		p.t.Errorf("the terminal's modes are %+v, want %+v", got, p.modes)
	}
}

// agentOf starts an agent that finds no containerd, and returns how to end it.
func agentOf(t *testing.T, dir string) (kill func()) {
	t.Helper()
	cmd := exec.Command("holdfast", "run", "--config", "node.yaml", "--set", "api.listen=")
	var log bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	kill = func() {
		if ended {
			return
		}
		ended = true
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the agent's log:\n%s", &log)
		}
	}
	t.Cleanup(kill)
	return kill
}

// TestTop has a person watch a node through a restart of its agent.
func TestTop(t *testing.T) {
	whole, dir := t, t.TempDir()
	config := "node: {name: line-3}\npaths: {state: state, run: run}\ncontainerd: {address: none.sock}\n"
	if err := os.WriteFile(filepath.Join(dir, "node.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "HOLDFAST_API_SOCKET="+filepath.Join(dir, "run/holdfast.sock"), "TERM=xterm", "LC_ALL=C.UTF-8", "NO_COLOR=1")
	kill := agentOf(t, dir)
	p := sit(t)
	p.resize(80, 24)
	awaitAgent(t, env)
	t.Run("Usual", func(t *testing.T) {
		p, top := p.in(t), p.starts("holdfast", env, "top")
		p.sees("line-3  ● live")
		p.sees("containerd does not answer")
		p.presses("\t\t\t")
		p.sees("agent-started line-3")
		p.resize(40, 10)
		p.sees("\x1b[2J")
		p.sees("\x1b[10;1H")
		p.resize(80, 24)
		kill()
		p.sees("✗ gone for")
		agentOf(whole, dir)
		p.sees("● live: another agent than before")
		p.presses("q")
		p.ends(top, 0)
	})
	t.Run("Interrupted", func(t *testing.T) {
		p, top := p.in(t), p.starts("holdfast", env, "top")
		p.sees("line-3  ● live")
		if err := top.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.ends(top, 130)
	})
	t.Run("DumbTerminal", func(t *testing.T) {
		p, top := p.in(t), p.starts("holdfast", append(env, "TERM=dumb"), "top")
		p.sees(`a terminal of kind "dumb" cannot be drawn on`)
		p.sees("hint: ")
		if err := top.Wait(); err == nil || top.ProcessState.ExitCode() != 2 {
			t.Errorf("it ends with %v, want exit code 2", err)
		}
	})
	t.Run("NothingIsAskedOfTheTerminal", func(t *testing.T) {
		// A console that does not answer would have every verb wait.
		p, version := p.in(t), p.starts("holdfast", env, "version")
		p.sees("holdfast ")
		if err := version.Wait(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(p.seen, "\x1b") {
			t.Errorf("%q was written", p.seen)
		}
	})
}

// awaitAgent waits until the agent answers.
func awaitAgent(t *testing.T, env []string) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); <-ticker.C {
		cmd := exec.Command("holdfast", "status")
		cmd.Env = env
		if cmd.Run() == nil {
			return
		}
	}
	t.Fatal("the agent does not answer")
}
