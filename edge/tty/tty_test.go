package tty_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"holdfast/edge/tty"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pty opens a pseudo-terminal: what a person has in hand, and what a program is given.
func pty(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

func modes(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	found, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *found
}

// wait is the next of a channel.
func wait[T any](t *testing.T, from <-chan T) (v T, open bool) {
	t.Helper()
	select {
	case v, open = <-from:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	return v, open
}

// read is what the terminal has been sent, up to words that are in it.
func read(t *testing.T, from *os.File, until string) string {
	t.Helper()
	var text strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(text.String(), until) {
		n, err := from.Read(buffer)
		if err != nil {
			t.Fatalf("after %q: %v", text.String(), err)
		}
		text.Write(buffer[:n])
	}
	return text.String()
}

func TestTerminal(t *testing.T) {
	person, program := pty(t)
	before := modes(t, program)
	if err := unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 10, Col: 40}); err != nil {
		t.Fatal(err)
	}
	terminal, err := tty.Open(program, program)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("Size", func(t *testing.T) {
		if columns, lines := terminal.Size(); columns != 40 || lines != 10 {
			t.Errorf("it has %d columns and %d lines, want 40 and 10", columns, lines)
		}
	})
	t.Run("Keys", func(t *testing.T) {
		for sent, want := range map[string]tty.Key{"q": "q", "\x03": "ctrl+c", "\x1b[5~": "pgup", "\x1b": "esc"} {
			if _, err := person.WriteString(sent); err != nil {
				t.Fatal(err)
			}
			if got, _ := wait(t, terminal.Keys()); got != want {
				t.Errorf("%q is %q, want %q", sent, got, want)
			}
		}
	})
	t.Run("Paint", func(t *testing.T) {
		if err := errors.Join(terminal.Paint("one\ntwo"), terminal.Paint("one\nthree"), terminal.Paint("one\nthree"), terminal.Paint("one")); err != nil {
			t.Fatal(err)
		}
		want := "\x1b[2J\x1b[1;1H\x1b[0m\x1b[2Kone\x1b[2;1H\x1b[0m\x1b[2Ktwo\x1b[2;1H\x1b[0m\x1b[2Kthree\x1b[2;1H\x1b[0m\x1b[2K"
		if got := read(t, person, want); !strings.HasPrefix(got, "\x1b[?1049h") {
			t.Errorf("it was sent %q, want another screen first", got)
		}
	})
	t.Run("Close", func(t *testing.T) {
		if got := modes(t, program); got.Lflag&unix.ECHO != 0 {
			t.Error("what is pressed is echoed")
		}
		if err := errors.Join(terminal.Close(), terminal.Close()); err != nil {
			t.Fatal(err)
		}
		if got := modes(t, program); got != before {
			t.Errorf("modes are %+v, want %+v", got, before)
		}
		read(t, person, "\x1b[?25h\x1b[?1049l")
		if _, open := wait(t, terminal.Keys()); open {
			t.Error("a key comes after the end")
		}
	})
}

func TestTerminal_CloseWithKeys(t *testing.T) {
	person, program := pty(t)
	terminal, err := tty.Open(program, program)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := person.WriteString("nobody takes these"); err != nil {
		t.Fatal(err)
	}
	if err := terminal.Close(); err != nil {
		t.Error(err)
	}
}

func TestTerminal_Hangup(t *testing.T) {
	person, program := pty(t)
	terminal, err := tty.Open(program, program)
	if err != nil {
		t.Fatal(err)
	}
	if err := person.Close(); err != nil {
		t.Fatal(err)
	}
	if _, open := wait(t, terminal.Keys()); open {
		t.Error("a terminal that has gone still has keys")
	}
	_ = terminal.Close() // nothing can be given back
}

func TestOpen_NoTerminal(t *testing.T) {
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := tty.Open(file, file); !errors.Is(err, tty.ErrNone) {
		t.Errorf("/dev/null gives %v, want %v", err, tty.ErrNone)
	}
	if _, err := tty.Open(&bytes.Buffer{}, &bytes.Buffer{}); !errors.Is(err, tty.ErrNone) {
		t.Errorf("a buffer gives %v, want %v", err, tty.ErrNone)
	}
}
