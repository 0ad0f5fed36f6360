package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
)

// restored is the chronicle of the next agent, which says how the one before ended.
func restored(t *testing.T, path, pid string) (c *chronicle, how string) {
	t.Helper()
	c = newChronicle(slog.New(slog.DiscardHandler))
	c.Restore(path, edge.Event{Kind: edge.EventAgentStarted, Facts: map[string]string{"pid": pid}})
	t.Cleanup(c.Close)
	for _, e := range c.Since(0) {
		how = e.Cause // of the last one
	}
	return c, how
}

func TestChronicle_Restore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "events")
	first, how := restored(t, path, "1")
	if how != "" {
		t.Errorf("the first agent says of the one before: %q", how)
	}
	first.Add(edge.Event{Kind: edge.EventTaskRefused, Subject: "task"})
	first.Add(edge.Event{Kind: edge.EventInstanceExited, Subject: "a", Cause: "hung"})
	t.Run("GoesOnAfterAKill", func(t *testing.T) {
		next := newChronicle(slog.New(slog.DiscardHandler))
		defer next.Close()
		next.Add(edge.Event{Kind: edge.EventWarningRaised}) // before it could go on
		next.Restore(path, edge.Event{Kind: edge.EventAgentStarted, Facts: map[string]string{"pid": "2"}})
		next.Add(edge.Event{Kind: edge.EventInstanceReady})
		var got []string
		for _, e := range next.Since(0) {
			got = append(got, fmt.Sprint(e.Seq, " ", e.Kind, " ", e.Cause))
		}
		want := "1 agent-started |3 instance-exited hung|" +
			"258 agent-started the agent before it (process 1) ended without being asked to|259 warning-raised |260 instance-ready "
		if text := strings.Join(got, "|"); text != want {
			t.Errorf("got %s, want %s", text, want)
		}
	})
	t.Run("EndIsToldOnce", func(t *testing.T) {
		next, how := restored(t, path, "3")
		if !strings.Contains(how, "process 2") {
			t.Errorf("got %q, want it to name the agent before", how)
		}
		before := next.latest()
		next.Add(edge.Event{Kind: edge.EventInstanceExited, Subject: "a"})
		next.Add(edge.Event{Kind: edge.EventInstanceStopped, Subject: "a"})
		next.Add(edge.Event{Kind: edge.EventInstanceExited, Subject: "b"})
		if got := next.Since(before); len(got) != 1 || got[0].Subject != "b" {
			t.Errorf("got %+v, want the end that nobody told of", got)
		}
	})
	t.Run("EndedInOrder", func(t *testing.T) {
		last, _ := restored(t, path, "4")
		last.Add(edge.Event{Kind: edge.EventAgentStopping})
		if _, how := restored(t, path, "5"); how != "" {
			t.Errorf("got %q of one that was asked to end", how)
		}
	})
}

// TestChronicle_RestoreNumbers: whoever asks for what came after the last it has seen misses nothing of the next
// agent, whatever it was.
func TestChronicle_RestoreNumbers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	for agent, tasks := range []int{0, 1, promise - 1, promise, promise + 1, 3 * promise, 2 * mostLines * (promise + 1)} {
		c, _ := restored(t, path, fmt.Sprint(agent))
		for range tasks {
			c.Add(edge.Event{Kind: edge.EventTaskMissed})
		}
		seen := c.latest()
		c.Close()
		next, _ := restored(t, path, "next")
		if got := next.Since(seen); len(got) != 1 || got[0].Kind != edge.EventAgentStarted {
			t.Errorf("after %d tasks and event %d got %+v, want the next agent's start", tasks, seen, got)
		}
		next.Close()
		if text, err := os.ReadFile(path); err != nil || bytes.Count(text, []byte("\n")) > mostLines {
			t.Errorf("the file has %d lines, %v, want at most %d", bytes.Count(text, []byte("\n")), err, mostLines)
		}
	}
}

func TestChronicle_RestoreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	c, _ := restored(t, path, "1")
	for i := range 4 * keptEvents {
		c.Add(edge.Event{Kind: edge.EventInstanceReady, Subject: fmt.Sprint(i)})
		if text, err := os.ReadFile(path); err != nil || bytes.Count(text, []byte("\n")) > mostLines {
			t.Fatalf("the file has %d lines, %v, want at most %d", bytes.Count(text, []byte("\n")), err, mostLines)
		}
	}
	next, _ := restored(t, path, "2")
	got := next.Since(0)
	if len(got) != keptEvents || got[len(got)-1].Seq != 4*keptEvents+2 || got[0].Seq != 3*keptEvents+3 { // with both starts
		t.Errorf("got %d events from %d on, want the last %d", len(got), got[0].Seq, keptEvents)
	}
}

func TestChronicle_RestoreDamaged(t *testing.T) {
	whole := `{"seq":7,"at":"2026-11-21T00:00:00Z","kind":"instance-ready","subject":"a"}` + "\n"
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"CutOff":  {whole + whole[:20], 1},
		"Nothing": {"", 0},
		"Garbage": {"\x00\x01\n[]\n" + whole, 1},
		"Twice":   {whole + whole, 1},
		"Unsound": {`{"seq":0,"kind":"instance-ready"}` + "\n" + `{"seq":9,"kind":"task-refused"}` + "\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			read, _ := restored(t, path, "1")
			if got := len(read.Since(0)) - 1; got != c.want { // but for the start
				t.Errorf("got %d events, want %d", got, c.want)
			}
			read.Add(edge.Event{Kind: edge.EventInstanceReady})
			if again, _ := restored(t, path, "2"); len(again.Since(0)) != c.want+3 {
				t.Errorf("got %d events after another and two starts, want %d", len(again.Since(0)), c.want+3)
			}
		})
	}
	t.Run("NoFile", func(t *testing.T) {
		read, _ := restored(t, t.TempDir(), "1") // a folder
		read.Add(edge.Event{Kind: edge.EventInstanceReady})
		if len(read.Since(0)) != 2 {
			t.Error("an agent that cannot keep its events does not tell them")
		}
	})
}
