package cli

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestLogWriter(t *testing.T) {
	t.Run("NobodyWaitsForTheReader", func(t *testing.T) {
		reader, writer := io.Pipe() // unread for now: every write to it blocks
		w := newLogWriter(writer, false)
		const lines = 3 * logBacklog
		for i := range lines {
			fmt.Fprintf(w, "line %d\n", i)
		}
		text := bufio.NewScanner(reader)
		closed := make(chan error, 1)
		go func() { closed <- w.Close() }()
		var first, dropped string
		read := 0
		for read < logBacklog && text.Scan() {
			if strings.Contains(text.Text(), "log-lines-dropped") {
				dropped = text.Text()
				continue
			}
			if first == "" {
				first = text.Text()
			}
			read++
		}
		go func() { _, _ = io.Copy(io.Discard, reader) }()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if first != "line 0" {
			t.Errorf("first line read is %q, want line 0", first)
		}
		if !strings.Contains(dropped, "count=") {
			t.Errorf("%d lines over the backlog were dropped without a word", lines-logBacklog)
		}
	})
	t.Run("CloseWritesWhatWaits", func(t *testing.T) {
		var out strings.Builder
		w := newLogWriter(&out, false)
		fmt.Fprint(w, "a\n")
		fmt.Fprint(w, "b\n")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != "a\nb\n" {
			t.Errorf("wrote %q, want both lines", got)
		}
	})
}
