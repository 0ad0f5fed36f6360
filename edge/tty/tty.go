package tty

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNone is that there is no terminal.
var ErrNone = errors.New("no terminal")

// escapeWait is how long after an escape the rest of a sequence may come: longer than a
// segment takes that was parted on the way, and shorter than a person notices.
const escapeWait = 50 * time.Millisecond

// enter has the terminal show a second screen, without cursor, on which a line that is too
// long is cut; leave undoes it.
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
	leave = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// Terminal is one that this program has for itself.
type Terminal struct {
	in      int
	out     *os.File
	before  unix.Termios
	shown   []string
	all     bool // the next paint is of the whole screen
	keys    chan Key
	resized chan os.Signal
	wake    *os.File      // written to: the reader of keys ends
	done    chan struct{} // closed: nobody takes keys any more
	ended   chan struct{}
	closed  bool
}

// Open takes the terminal that is behind both files.
func Open(in io.Reader, out io.Writer) (*Terminal, error) {
	from, isFile := in.(*os.File)
	to, alsoFile := out.(*os.File)
	if !isFile || !alsoFile {
		return nil, ErrNone
	}
	before, err := modes(from)
	if err == nil {
		_, err = modes(to)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	t := &Terminal{
		in: int(from.Fd()), out: to, before: *before, all: true,
		keys: make(chan Key), resized: make(chan os.Signal, 1), done: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := t.begin(); err != nil {
		return nil, err
	}
	return t, nil
}

func modes(f *os.File) (*unix.Termios, error) { return unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS) }

// begin changes the modes and starts to read.
func (t *Terminal) begin() error {
	woken, wake, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot open terminal: %w", err)
	}
	raw := t.before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(t.in, unix.TCSETS, &raw); err != nil {
		return errors.Join(fmt.Errorf("cannot set terminal: %w", err), woken.Close(), wake.Close())
	}
	t.wake = wake
	signal.Notify(t.resized, syscall.SIGWINCH, syscall.SIGCONT)
	go t.read(woken)
	if _, err := t.out.WriteString(enter); err != nil {
		return errors.Join(fmt.Errorf("cannot write to the terminal: %w", err), t.Close())
	}
	return nil
}

// Close gives the terminal back as it was.
func (t *Terminal) Close() error {
	if t.closed {
		return nil
	}
	t.closed = true
	signal.Stop(t.resized)
	close(t.done)
	err := t.wake.Close()
	<-t.ended
	_, wrote := t.out.WriteString(leave)
	return errors.Join(err, wrote, unix.IoctlSetTermios(t.in, unix.TCSETS, &t.before))
}

// Keys delivers what is pressed; it is closed when the terminal has gone.
func (t *Terminal) Keys() <-chan Key { return t.keys }

// Resized delivers that the size may be another, and that all has to be painted.
func (t *Terminal) Resized() <-chan os.Signal { return t.resized }

// Size is how many columns and lines it has; 80 and 24 where it does not say, as a serial
// line does not.
func (t *Terminal) Size() (columns, lines int) {
	size, err := unix.IoctlGetWinsize(int(t.out.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 80, 24
	}
	return int(size.Col), int(size.Row)
}

// Repaint has the next paint write the whole screen.
func (t *Terminal) Repaint() { t.all = true }

// Paint shows a screen.
func (t *Terminal) Paint(screen string) error {
	lines := strings.Split(screen, "\n")
	text := frame(t.shown, lines, t.all)
	if t.all {
		text = "\x1b[2J" + text
	}
	t.shown, t.all = lines, false
	if text == "" {
		return nil
	}
	if _, err := t.out.WriteString(text); err != nil {
		return fmt.Errorf("cannot write to the terminal: %w", err)
	}
	return nil
}

// place moves to the begin of a line.
func place(line int) string { return "\x1b[" + strconv.Itoa(line+1) + ";1H" }

// read delivers keys until it is woken or the terminal goes away.
func (t *Terminal) read(woken *os.File) {
	defer close(t.ended)
	defer close(t.keys)
	defer woken.Close()
	var text []byte
	for {
		patience := -1
		if len(text) > 0 {
			patience = int(escapeWait.Milliseconds())
		}
		files := []unix.PollFd{{Fd: int32(t.in), Events: unix.POLLIN}, {Fd: int32(woken.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(files, patience)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil, files[1].Revents != 0:
			return
		}
		if n > 0 {
			buffer := make([]byte, 256)
			n, err := unix.Read(t.in, buffer)
			if err != nil && !errors.Is(err, unix.EINTR) || err == nil && n == 0 {
				return
			}
			text = append(text, buffer[:max(0, n)]...)
		}
		text = t.deliver(text, n == 0)
	}
}

// deliver sends the keys that are whole, and returns what is left.
func (t *Terminal) deliver(text []byte, ended bool) []byte {
	for {
		key, rest, whole := Parse(text, ended)
		if !whole {
			return rest
		}
		text = rest
		if key == "" {
			continue
		}
		select {
		case t.keys <- key:
		case <-t.done:
			return nil
		}
	}
}
