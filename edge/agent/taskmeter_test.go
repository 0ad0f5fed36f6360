package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/mqtt/outbox"
)

func settledTask(i int, model string, outcome edge.Outcome) edge.Settlement {
	now := time.Now()
	s := edge.Settlement{
		Task: edge.Task{
			ID: fmt.Sprintf("t%d", i), Model: model, Class: edge.Urgent, Tenant: "vision",
			Arrived: now.Add(-3 * time.Millisecond), Deadline: now.Add(2 * time.Millisecond),
			Input: edge.Payload{Body: []byte("raw picture")},
		},
		Outcome: outcome, At: now, Queue: time.Millisecond, Compute: 2 * time.Millisecond,
		Answer: edge.Answer{Model: model, Payload: edge.Payload{Body: []byte("secret answer")}},
	}
	if outcome == edge.Refused {
		s.Err = &edge.Refusal{Reason: edge.ReasonQueueFull}
	}
	return s
}

func TestTaskMeter_Take(t *testing.T) {
	t.Run("TellsSomeAndCountsTheRest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := taskMeter{each: 2}
			for i := range 5 {
				m.add(settledTask(i, "digits", edge.Completed))
			}
			m.add(settledTask(5, "digits", edge.Missed))
			single, rest := m.take(time.Now(), false)
			if len(single) != 2 || single[0].ID != "t0" || single[1].ID != "t1" {
				t.Errorf("told %+v, want t0 and t1", single)
			}
			if rest != nil {
				t.Errorf("counts came at once: %+v, want them each minute", rest)
			}
			time.Sleep(countEvery)
			_, rest = m.take(time.Now(), false)
			if rest == nil || rest.Models["digits"]["completed"] != 3 || rest.Models["digits"]["missed"] != 1 {
				t.Errorf("counted %+v, want 3 completed and 1 missed", rest)
			}
			if rest != nil && rest.OverMs != countEvery.Milliseconds() {
				t.Errorf("over %d ms, want %d", rest.OverMs, countEvery.Milliseconds())
			}
		})
	})
	t.Run("TellsEverythingAtTheEnd", func(t *testing.T) {
		m := taskMeter{each: 0}
		m.add(settledTask(0, "digits", edge.Completed))
		if _, rest := m.take(time.Now(), true); rest == nil || rest.Models["digits"]["completed"] != 1 {
			t.Errorf("counted %+v, want 1 completed", rest)
		}
	})
	t.Run("HasABound", func(t *testing.T) {
		m := taskMeter{}
		for i := range 10 * maxCounted {
			m.add(settledTask(i, fmt.Sprintf("m%d", i), edge.Refused))
		}
		_, rest := m.take(time.Now(), true)
		if got, want := len(rest.Models), maxCounted+1; got != want {
			t.Errorf("counted %d models apart, want %d", got, want)
		}
		sum := uint64(0)
		for _, outcomes := range rest.Models {
			sum += outcomes["refused"]
		}
		if want := uint64(10 * maxCounted); sum != want {
			t.Errorf("counted %d tasks, want %d", sum, want)
		}
	})
}

// told keeps what a telemetry appends.
type told struct {
	records []outbox.Record
	err     error
}

func (k *told) append(r outbox.Record) (uint64, error) {
	k.records = append(k.records, r)
	return uint64(len(k.records)), k.err
}

func newTold(k *told, floor time.Time, log *slog.Logger) *telemetry {
	return &telemetry{
		append: k.append, clock: stamp{floor: func() time.Time { return floor }}, every: time.Hour,
		vitals: func() edge.Vitals { return edge.Vitals{Cores: 2} }, log: log, tasks: taskMeter{each: 10},
	}
}

func TestTelemetry_Tell(t *testing.T) {
	silent := slog.New(slog.DiscardHandler)
	t.Run("SaysWhatATaskWasAndNotWhatWasInIt", func(t *testing.T) {
		kept := &told{}
		feed := newTold(kept, time.Time{}, silent)
		feed.Settled(settledTask(1, "digits", edge.Refused))
		feed.tellTasks(true)
		if len(kept.records) != 1 || kept.records[0].Kind != recordTask || kept.records[0].Class != outbox.D1 {
			t.Fatalf("got %+v, want one task to keep", kept.records)
		}
		text := string(kept.records[0].Body)
		var record map[string]any
		if err := json.Unmarshal(kept.records[0].Body, &record); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]any{
			"model": "digits", "class": "urgent", "outcome": "refused", "tenant": "vision", "queueUs": 1000.0, "slackUs": 2000.0,
		} {
			if record[key] != want {
				t.Errorf("%s: got %v, want %v", key, record[key], want)
			}
		}
		if strings.Contains(text, "secret") || strings.Contains(text, "picture") {
			t.Errorf("tells what was in the task: %s", text)
		}
	})
	t.Run("DoesNotBelieveAClockBeforeItsFloor", func(t *testing.T) {
		kept, floor := &told{}, time.Now().Add(time.Hour)
		newTold(kept, floor, silent).Event(edge.Event{Kind: edge.EventAgentStarted, Subject: "n"})
		if got := kept.records[0]; !got.Time.Equal(floor) || got.Quality != "floor" {
			t.Errorf("got %v of quality %q, want the floor %v", got.Time, got.Quality, floor)
		}
	})
	t.Run("StaysReadableAfterAHundredDays", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kept := &told{}
			feed := newTold(kept, time.Time{}, silent)
			feed.vitals = func() edge.Vitals { return edge.Vitals{Uptime: 200 * 24 * time.Hour} }
			ctx, stop := context.WithCancel(t.Context())
			go func() { time.Sleep(feed.every + time.Second); stop() }()
			if err := feed.Run(ctx); err != nil || len(kept.records) == 0 {
				t.Fatalf("got %v and %d records, want the vitals", err, len(kept.records))
			}
			if err := edge.CheckJSON(kept.records[0].Body, edge.JSONBounds{Size: outbox.MaxBody, Depth: 16}); err != nil {
				t.Errorf("nobody can read %s: %v", kept.records[0].Body, err)
			}
		})
	})
	t.Run("LeavesSingleTasksToTheirRecords", func(t *testing.T) {
		kept := &told{}
		newTold(kept, time.Time{}, silent).Event(edge.Event{Kind: edge.EventTaskRefused, Subject: "t"})
		if len(kept.records) != 0 {
			t.Errorf("got %+v, want nothing", kept.records)
		}
	})
	t.Run("SaysWhenARecordIsLost", func(t *testing.T) {
		var said strings.Builder
		kept := &told{err: errors.New("no room")}
		newTold(kept, time.Time{}, slog.New(slog.NewTextHandler(&said, nil))).Reply(edge.Reply{Command: "c"})
		if !strings.Contains(said.String(), "record-lost") || kept.records[0].Class != outbox.D0 {
			t.Errorf("said %q of %+v, want that a record of memory was lost", said.String(), kept.records)
		}
	})
}
