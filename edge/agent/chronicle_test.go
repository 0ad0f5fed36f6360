package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"

	"holdfast/edge"
)

func TestChronicle_Since(t *testing.T) {
	t.Run("StormOfRefusalsLeavesNodeEvents", func(t *testing.T) {
		j := newChronicle(slog.New(slog.DiscardHandler))
		j.Add(edge.Event{Kind: edge.EventInstanceExited, Subject: "digits-1"})
		for i := range 3 * keptEvents {
			j.Add(edge.Event{Kind: edge.EventTaskRefused, Subject: fmt.Sprint(i)})
		}
		events := j.Since(0)
		if got := events[0].Kind; got != edge.EventInstanceExited {
			t.Errorf("oldest event = %s, want %s", got, edge.EventInstanceExited)
		}
		if got, want := len(events), keptEvents+1; got != want {
			t.Errorf("kept %d events, want %d", got, want)
		}
	})
	t.Run("InOrderAndAfterSeq", func(t *testing.T) {
		j := newChronicle(slog.New(slog.DiscardHandler))
		for i := range 10 {
			kind := edge.EventInstanceReady
			if i%2 == 0 {
				kind = edge.EventTaskMissed
			}
			j.Add(edge.Event{Kind: kind})
		}
		events := j.Since(4)
		if got, want := len(events), 6; got != want {
			t.Fatalf("got %d events after 4, want %d", got, want)
		}
		for i, e := range events {
			if got, want := e.Seq, uint64(5+i); got != want {
				t.Errorf("event %d has seq %d, want %d", i, got, want)
			}
		}
	})
}

func TestChronicle_Wait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newChronicle(slog.New(slog.DiscardHandler))
		woken := make(chan error, 1)
		go func() { woken <- j.Wait(t.Context(), 0) }()
		synctest.Wait()
		select {
		case <-woken:
			t.Fatal("woken before there was an event")
		default:
		}
		j.Add(edge.Event{Kind: edge.EventInstanceReady})
		if err := <-woken; err != nil {
			t.Errorf("wait = %v, want none", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := j.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("wait with an ended context = %v, want %v", err, context.Canceled)
		}
	})
}

func TestWarnings(t *testing.T) {
	j := newChronicle(slog.New(slog.DiscardHandler))
	w := newWarnings(j)
	w.Raise(edge.Warning{Code: "crash-loop", Subject: "a", Detail: "one"})
	first := w.All()[0].Since
	w.Raise(edge.Warning{Code: "crash-loop", Subject: "a", Detail: "two"})
	w.Raise(edge.Warning{Code: "crash-loop", Subject: "b"})
	all := w.All()
	if got, want := len(all), 2; got != want {
		t.Fatalf("%d warnings stand, want %d", got, want)
	}
	if got, want := all[0].Detail, "two"; got != want {
		t.Errorf("detail = %q, want the newer words %q", got, want)
	}
	if !all[0].Since.Equal(first) {
		t.Error("raising again moved the instant it began")
	}
	w.Clear("crash-loop", "a")
	w.Clear("crash-loop", "a")
	if got, want := len(j.Since(0)), 3; got != want { // raised a, raised b, cleared a
		t.Errorf("%d events, want %d: a warning is told once", got, want)
	}
}

func TestChronicle_Refused(t *testing.T) {
	j := newChronicle(slog.New(slog.DiscardHandler))
	j.Add(edge.Event{Kind: edge.EventAgentStarted})
	for range 1000 {
		j.Refused("line", errors.New("garbage"))
	}
	j.Refused("line", errors.New("rollback"))
	if got := len(j.Since(0)); got != 3 {
		t.Errorf("got %d events, want the start and one for each kind of refusal", got)
	}
}
