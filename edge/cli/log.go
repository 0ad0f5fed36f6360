package cli

import (
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// logBacklog is how many lines wait for a slow reader of the log: a second or two
// of a storm, some 200 KiB.
const logBacklog = 1024

// logFlush bounds how long the end of the process waits for that reader.
const logFlush = time.Second

// logWriter writes lines on a goroutine of its own, so that nobody who has something
// to say waits for whoever reads it. Lines beyond the backlog are dropped, counted,
// and the count is written when there is room again.
type logWriter struct {
	out     io.Writer
	journal bool // out is the journal
	lines   chan []byte
	dropped atomic.Uint64
	closing chan struct{}
	done    chan struct{}
}

func newLogWriter(out io.Writer, journal bool) *logWriter {
	w := &logWriter{out: out, journal: journal, lines: make(chan []byte, logBacklog), closing: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// Write takes one line, which the caller may change afterwards.
func (w *logWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- append([]byte(nil), line...):
	default:
		w.dropped.Add(1)
	}
	return len(line), nil
}

func (w *logWriter) run() {
	defer close(w.done)
	for {
		select {
		case line := <-w.lines:
			w.write(line)
		case <-w.closing:
			for len(w.lines) > 0 {
				w.write(<-w.lines)
			}
			return
		}
	}
}

func (w *logWriter) write(line []byte) {
	if n := w.dropped.Swap(0); n > 0 {
		newLogger(w.out, "text", slog.LevelWarn, w.journal).Warn("log-lines-dropped", "count", n)
	}
	_, _ = w.out.Write(line) // who would be told?
}

// Close writes what waits, unless nobody reads it. What is written after it is lost.
func (w *logWriter) Close() error {
	close(w.closing)
	timer := time.NewTimer(logFlush)
	defer timer.Stop()
	select {
	case <-w.done:
		return nil
	case <-timer.C:
		return fmt.Errorf("the log was not read within %v", logFlush)
	}
}

// newLogger writes lines as a person, a program or the journal reads them.
func newLogger(out io.Writer, format string, level slog.Leveler, journal bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if journal && format != "json" {
		options.ReplaceAttr = withoutTime
	}
	inner := func(out io.Writer) slog.Handler {
		if format == "json" {
			return slog.NewJSONHandler(out, options)
		}
		return slog.NewTextHandler(out, options)
	}
	if journal {
		return slog.New(newJournalHandler(out, inner))
	}
	return slog.New(inner(out))
}
