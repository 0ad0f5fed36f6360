package rauc

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/edge"
)

// Program is what Debian's package calls it.
const Program = "rauc"

const (
	// askWithin bounds a question: verifying a bundle of some hundred MB takes a second.
	askWithin = time.Minute
	// maxSaid is how much of what rauc writes is kept; a status of ten slots takes 5 KiB.
	maxSaid = 256 << 10
	// maxLine is how long a line of its progress may be.
	maxLine = 4 << 10
	// maxWords is how much of its complaint is passed on.
	maxWords = 600
	// leaveWithin is for how long a program that was told to end may take over it.
	leaveWithin = 5 * time.Second
)

// Tool is rauc as it is installed on a machine.
type Tool struct {
	program  string
	environ  []string
	describe []string // files of which one has to say which systems there are
}

// New is the rauc of this machine. It touches nothing: whether there is one is found out
// each time it is asked, since somebody may install it.
func New(program string, environ []string) *Tool {
	return &Tool{
		program: cmp.Or(program, Program), environ: append(environ[:len(environ):len(environ)], "LC_ALL=C"),
		describe: []string{"/etc/rauc/system.conf", "/run/rauc/system.conf", "/usr/lib/rauc/system.conf"}, // the latter two since rauc 1.12
	}
}

// ErrMissing is a machine without rauc.
var ErrMissing = fmt.Errorf("rauc is not installed on this machine: %w", edge.ErrInvalid)

// ErrUndescribed is a machine that nobody has told rauc the systems of.
var ErrUndescribed = fmt.Errorf("no file describes the systems of this machine to rauc: %w", edge.ErrInvalid)

// Undescribed tells that rauc cannot know of any system, if that is so: whoever has installed
// it has not said which there are.
func (t *Tool) Undescribed() error {
	for _, file := range t.describe {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return edge.WithHint(ErrUndescribed, "describe the two systems of the disk in "+t.describe[0]+"; the gateway images have that")
}

// Missing says why there is no rauc to ask; nil where there is one.
func (t *Tool) Missing() error {
	if _, err := exec.LookPath(t.program); err != nil {
		return edge.WithHint(ErrMissing, "install it (apt install rauc rauc-service) and describe the two systems of the disk in /etc/rauc/system.conf; the gateway images have both")
	}
	return nil
}

// Bundle is what a bundle says of itself, and rauc believes.
type Bundle struct {
	Compatible string `json:"compatible"`
	Version    string `json:"version"`
}

// Describe verifies the signature of a bundle and reads what it says of itself.
func (t *Tool) Describe(ctx context.Context, path string) (b Bundle, err error) {
	said, err := t.ask(ctx, "info", "--output-format=json", path)
	if err != nil {
		if failed := (*exitError)(nil); errors.As(err, &failed) && failed.code == 1 {
			err = fmt.Errorf("%w: %w", edge.ErrInvalid, err)
		}
		err = fmt.Errorf("rauc does not take the bundle: %w", err)
		if strings.Contains(err.Error(), "unsquashfs") { // seen of rauc 1.8: only the format plain needs it
			err = edge.WithHint(err, "make the bundle of the format verity: one of the format plain needs squashfs-tools on the machine, and a /tmp that can be written")
		}
		return b, err
	}
	if err := json.Unmarshal(said, &b); err != nil {
		return b, fmt.Errorf("cannot read what rauc says of the bundle: %w: %w", edge.ErrUnavailable, err)
	}
	if b.Version == "" {
		return b, edge.WithHint(fmt.Errorf("the bundle says no version: %w", edge.ErrInvalid), "write version= below [update] in its manifest")
	}
	return b, nil
}

// Install has rauc write a bundle into the system that does not run, and start that next
// time. told hears how far it is.
func (t *Tool) Install(ctx context.Context, path string, told func(percent int, step string)) error {
	cmd, err := t.command(ctx, "install", path)
	if err != nil {
		return err
	}
	complaint := &bounded{}
	cmd.Stderr = complaint
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("cannot start rauc: %w: %w", edge.ErrUnavailable, err)
	}
	why := follow(out, told)
	err = ended(ctx, cmd.Wait(), cmp.Or(why, tellingLine(complaint.String())))
	failed := (*exitError)(nil)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed) && failed.code == 1:
		return fmt.Errorf("rauc did not install it: %w: %w", edge.ErrInvalid, err)
	}
	return fmt.Errorf("rauc did not install it: %w: %w", edge.ErrUnavailable, err)
}

// follow hands on progress, and keeps what rauc says went wrong.
func follow(out io.Reader, told func(percent int, step string)) (why string) {
	lines := bufio.NewReaderSize(out, maxLine)
	for {
		text, isPrefix, err := lines.ReadLine()
		if err != nil {
			return why
		}
		line := plain(string(text))
		for isPrefix && err == nil { // the rest of a line that is too long
			_, isPrefix, err = lines.ReadLine()
		}
		if words, is := strings.CutPrefix(line, "LastError:"); is {
			why = strings.TrimSpace(words)
		}
		if percent, step, is := parseProgress(line); is {
			told(percent, step)
		}
	}
}

// parseProgress reads a line such as " 40% Verifying signature done.".
func parseProgress(line string) (percent int, step string, is bool) {
	number, step, found := strings.Cut(strings.TrimSpace(line), "% ")
	percent, err := strconv.Atoi(number)
	return percent, step, found && err == nil && percent >= 0 && percent <= 100
}

// ask runs rauc and gives what it writes.
func (t *Tool) ask(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askWithin, fmt.Errorf("rauc did not answer within %v: %w", askWithin, edge.ErrUnavailable))
	defer cancel()
	cmd, err := t.command(ctx, args...)
	if err != nil {
		return nil, err
	}
	said, complaint := &bounded{}, &bounded{}
	cmd.Stdout, cmd.Stderr = said, complaint
	if err := ended(ctx, cmd.Run(), tellingLine(complaint.String())); err != nil {
		return nil, err
	}
	return said.Bytes(), nil
}

func (t *Tool) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	if err := t.Missing(); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, t.program, args...)
	cmd.Env = t.environ
	// A group of its own: what is meant for the caller's group does not reach it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = leaveWithin
	return cmd, nil
}

// exitError is how rauc ended, and what it said.
type exitError struct {
	code  int // -1: by a signal
	words string
}

// Error is what rauc said.
func (e *exitError) Error() string { return e.words }

// ended makes an error of how rauc ended.
func ended(ctx context.Context, err error, words string) error {
	var exited *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exited):
		return &exitError{exited.ExitCode(), cmp.Or(words, "it says nothing, and ends: "+exited.String())}
	}
	return fmt.Errorf("cannot start rauc: %w: %w", edge.ErrUnavailable, err)
}

// bounded keeps the beginning of what is written.
type bounded struct{ bytes.Buffer }

// Write takes everything and keeps what there is room for.
func (b *bounded) Write(text []byte) (int, error) {
	b.Buffer.Write(text[:max(0, min(len(text), maxSaid-b.Len()))])
	return len(text), nil
}

// tellingLine is what of a complaint says why: its last line that is no mere message.
func tellingLine(text string) (last string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(plain(line))
		if line == "" || strings.HasPrefix(line, "rauc-Message:") || strings.HasPrefix(line, "(rauc:") || strings.HasPrefix(line, "Installing `") {
			continue
		}
		if strings.HasPrefix(line, "D-Bus error") && last != "" {
			continue
		}
		last = line
	}
	return clip(last)
}

func clip(text string) string { return text[:min(len(text), maxWords)] }

// plain leaves out what a terminal would act on.
func plain(line string) string {
	return clip(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '�' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "")))
}
