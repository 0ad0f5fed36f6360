package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// isJournal tells whether out leads to the journal of systemd, which says of which stream it
// is by device and inode: a variable that was inherited by chance is of another.
func isJournal(out io.Writer, stream string) bool {
	file, is := out.(*os.File)
	if !is || stream == "" {
		return false
	}
	var about unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &about); err != nil {
		return false
	}
	return stream == fmt.Sprintf("%d:%d", about.Dev, about.Ino)
}

// The priorities of the journal, each with what it is the least for.
var priorities = [...]struct {
	level  slog.Level
	prefix string
}{
	{slog.LevelError, "<3>"}, {slog.LevelWarn, "<4>"}, {slog.LevelInfo, "<6>"}, {slog.LevelDebug - 1000, "<7>"},
}

// journalHandler begins every line with its priority, as sd-daemon(3) has it. It is one
// handler for each.
type journalHandler [len(priorities)]slog.Handler

// newJournalHandler makes the handlers, all of them for the same lines.
func newJournalHandler(out io.Writer, inner func(io.Writer) slog.Handler) slog.Handler {
	var h journalHandler
	for i, p := range priorities {
		h[i] = inner(prefixWriter{p.prefix, out})
	}
	return h
}

func (h journalHandler) of(level slog.Level) slog.Handler {
	for i, p := range priorities {
		if level >= p.level {
			return h[i]
		}
	}
	return h[len(h)-1]
}

// Enabled tells whether a line of the level is wanted.
func (h journalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h[0].Enabled(ctx, level)
}

// Handle writes the line.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

// WithAttrs adds attributes to every line.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for i := range h {
		h[i] = h[i].WithAttrs(attrs)
	}
	return h
}

// WithGroup begins a group on every line.
func (h journalHandler) WithGroup(name string) slog.Handler {
	for i := range h {
		h[i] = h[i].WithGroup(name)
	}
	return h
}

// prefixWriter writes lines, each of which comes in one piece.
type prefixWriter struct {
	prefix string
	out    io.Writer
}

func (w prefixWriter) Write(line []byte) (int, error) {
	_, err := w.out.Write(append([]byte(w.prefix), line...))
	return len(line), err
}

// withoutTime leaves out what the journal notes itself.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
