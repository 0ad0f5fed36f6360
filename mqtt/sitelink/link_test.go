package sitelink_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/sitelink"
)

// stand starts a link with a broker and waits until it is up.
func stand(t *testing.T, b *play, o sitelink.Options, triggers ...edge.Trigger) running {
	t.Helper()
	o.Link.Dial = b.dial
	l := start(t, o, triggers...)
	synctest.Wait()
	if got := l.Status(); !isUp(got) {
		t.Fatalf("link is %+v, want up", got.Link)
	}
	return l
}

// heard are the verdicts so far.
func (b *play) heard(t *testing.T) (all []map[string]any) {
	t.Helper()
	b.with(func() {
		for _, p := range b.verdicts {
			v := readVerdict(t, p.payload())
			v["_to"] = p.topic()
			all = append(all, v)
		}
	})
	return all
}

func (b *play) done() (ids []uint16) {
	b.with(func() { ids = slices.Clone(b.acked) })
	return ids
}

func TestLink_Verdict(t *testing.T) {
	t.Run("Completed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{takes: 5 * time.Millisecond}
			f.settle = func(edge.Task) (edge.Answer, edge.Outcome, error) {
				return edge.Answer{Payload: edge.Payload{Body: []byte(answer)}, Model: "vector-lite"}, edge.Completed, nil
			}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			began := time.Now()
			b.deliver(t, 0, "cam/7/frame", request("frame-1"), 1)
			synctest.Wait()
			if got := b.done(); len(got) != 0 {
				t.Errorf("acknowledged %v before the task had settled, want none", got)
			}
			<-time.After(6 * time.Millisecond)
			synctest.Wait()
			task := f.all()[0]
			if task.Class != edge.Urgent || task.Model != "vector" || !task.Arrived.Equal(began) || !task.Deadline.Equal(began.Add(80*time.Millisecond)) || task.ID == "" {
				t.Errorf("task is %+v, want an urgent one for vector with 80 ms from its arrival", task)
			}
			want := map[string]any{
				"_to": "cam/7/verdict", "id": "frame-1", "task": task.ID, "trigger": "cam/+/frame", "topic": "cam/7/frame", "model": "vector",
				"variant": "vector-lite", "outcome": "completed", "class": "urgent", "deadlineMs": 80.0, "queueUs": 40.0, "computeUs": 350.0,
				"slackUs": 75000.0, "deadlineMet": true, "answer": readVerdict(t, []byte(answer)),
			}
			if got := b.heard(t); len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
				t.Errorf("verdicts are\n%v, want\n%v", got, want)
			}
			if got := b.done(); !slices.Equal(got, []uint16{1}) {
				t.Errorf("acknowledged %v, want the message once", got)
			}
			if got := l.Status(); got.Told != 1 || got.Bytes != 0 || got.Tasks != 0 || got.Waiting != 0 || got.Triggers[0].Outcomes[edge.Completed] != 1 {
				t.Errorf("status is %+v, want one verdict told and nothing inside", got)
			}
		})
	})
	for _, c := range []struct {
		name    string
		outcome edge.Outcome
		err     error
		want    map[string]any
	}{
		{"Refused", edge.Refused, &edge.Refusal{Reason: edge.ReasonDeadlineUnreachable, Detail: "two before it", Earliest: 120 * time.Millisecond, RetryAfter: 1500 * time.Microsecond},
			map[string]any{"outcome": "refused", "reason": "deadline_unreachable", "detail": "two before it", "earliestMs": 120.0, "retryAfterMs": 1.5}},
		{"Unknown", edge.Refused, &edge.Refusal{Reason: edge.ReasonUnknownModel}, map[string]any{"outcome": "refused", "reason": "unknown_model"}},
		{"Draining", edge.Refused, &edge.Refusal{Reason: edge.ReasonDraining}, map[string]any{"outcome": "refused", "reason": "draining"}},
		{"Evicted", edge.Evicted, &edge.Refusal{Reason: edge.ReasonHopeless}, map[string]any{"outcome": "evicted", "reason": "hopeless"}},
		{"Missed", edge.Missed, edge.ErrDeadline, map[string]any{"outcome": "missed", "reason": "deadline_missed", "deadlineMet": false}},
		{"Failed", edge.Failed, fmt.Errorf("instance died: %w", edge.ErrModel), map[string]any{"outcome": "failed", "reason": "model_error", "detail": "instance died: model error"}},
		{"Cancelled", edge.Cancelled, edge.ErrCancelled, map[string]any{"outcome": "cancelled", "reason": "cancelled"}},
		{"NoAnswer", edge.Completed, nil, map[string]any{"outcome": "failed", "reason": "model_error"}}, // what settles has no body
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, f := &play{}, &tasks{settle: func(edge.Task) (edge.Answer, edge.Outcome, error) { return edge.Answer{}, c.outcome, c.err }}
				stand(t, b, sitelink.Options{Tasks: f}, camera())
				b.deliver(t, 0, "cam/7/frame", request("1"), 1)
				synctest.Wait()
				got := b.heard(t)
				if len(got) != 1 || len(b.done()) != 1 {
					t.Fatalf("%d verdicts and %d acknowledgements, want one each", len(got), len(b.done()))
				}
				for name, want := range c.want {
					if got[0][name] != want {
						t.Errorf("%s is %v, want %v", name, got[0][name], want)
					}
				}
				if got[0]["answer"] != nil {
					t.Errorf("answer is %v, want none", got[0]["answer"])
				}
			})
		})
	}
}

func TestLink_Messages(t *testing.T) {
	t.Run("RawBytesAreNamedByTheirDigest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{}
			stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, 0, "cam/1/frame", floats(1, 2, 3, 4), 1)
			synctest.Wait()
			if got := b.heard(t); len(got) != 1 || got[0]["outcome"] != "completed" || !strings.HasPrefix(got[0]["id"].(string), "sha256:") {
				t.Errorf("verdicts are %v, want one completed with a digest", got)
			}
		})
	})
	t.Run("AskingForLess", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{}
			trigger := camera()
			trigger.Class, trigger.Tenant = edge.Normal, "vision"
			stand(t, b, sitelink.Options{Tasks: f}, trigger)
			ask := func(parameters string) []byte {
				return []byte(`{"parameters":` + parameters + `,"inputs":[{"name":"in","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}`)
			}
			b.deliver(t, 0, "cam/1/frame", ask(`{"timeout":20000,"priority":3}`), 1)
			b.deliver(t, 0, "cam/1/frame", ask(`{"timeout":90000}`), 2)
			b.deliver(t, 0, "cam/1/frame", ask(`{"priority":1}`), 3)
			b.deliver(t, 0, "cam/1/frame", ask(`{"timeout":0}`), 4)
			synctest.Wait()
			if got := f.all(); len(got) != 1 || got[0].Class != edge.Batch || got[0].Tenant != "vision" || got[0].Deadline.Sub(got[0].Arrived) != 20*time.Millisecond {
				t.Errorf("tasks are %+v, want one of class batch and tenant vision with 20 ms", got)
			}
			var fields []string
			for _, v := range b.heard(t) {
				fields = append(fields, fmt.Sprint(v["reason"], " ", v["field"]))
			}
			slices.Sort(fields)
			want := []string{"<nil> <nil>", "invalid_request parameters.priority", "invalid_request parameters.timeout", "invalid_request parameters.timeout"}
			if !slices.Equal(fields, want) {
				t.Errorf("verdicts say %q, want %q", fields, want)
			}
		})
	})
	t.Run("WithoutAcknowledgement", func(t *testing.T) { // QoS 0: no packet id, nothing to acknowledge
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			for range 3 {
				b.deliverQoS0(t, "cam/1/frame", request("1"))
			}
			synctest.Wait()
			if got := l.Status(); got.Told != 3 || len(b.done()) != 0 || got.Bytes != 0 || got.Known != 0 {
				t.Errorf("status is %+v, acknowledged %v; want 3 told and none acknowledged or remembered", got, b.done())
			}
		})
	})
	t.Run("RetainedMakesNoTask", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, retained, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			if got := l.Status(); len(f.all()) != 0 || got.Retained != 1 || len(b.done()) != 1 {
				t.Errorf("%d tasks, %d retained, acknowledged %v; want none, one, and it", len(f.all()), got.Retained, b.done())
			}
		})
	})
	t.Run("EachTriggerItsTask", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{hold: make(chan struct{})}
			quiet := edge.Trigger{MQTT: "cam/#", Model: "free", Class: edge.Batch}
			loud := camera()
			loud.Reply = "out/+"
			l := stand(t, b, sitelink.Options{Tasks: f}, loud, quiet, edge.Trigger{MQTT: "other", Model: "free"})
			b.deliver(t, 0, "cam/1/frame", []byte("[1,2,3,4]"), 1)
			synctest.Wait()
			if got := f.all(); len(got) != 2 || got[0].Class == got[1].Class {
				t.Fatalf("tasks are %+v, want one of each trigger", got)
			}
			if len(b.done()) != 0 {
				t.Error("acknowledged before both had settled")
			}
			close(f.hold)
			synctest.Wait()
			if len(b.heard(t)) != 1 || len(b.done()) != 1 {
				t.Errorf("%d verdicts and %v acknowledged, want one each: the other trigger has no reply", len(b.heard(t)), b.done())
			}
			var filters []string
			b.with(func() { filters = b.subscribed })
			if slices.Sort(filters); !slices.Equal(filters, []string{"cam/#", "other"}) {
				t.Errorf("subscribed to %q, want cam/# once, which covers the other, and other", filters)
			}
			if got := l.Status().Triggers[1].Outcomes[edge.Completed]; got != 1 {
				t.Errorf("%d completed for the trigger without a reply, want it counted", got)
			}
		})
	})
	t.Run("TooLarge", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, 0, "cam/1/frame", make([]byte, 300<<10), 1)
			b.deliver(t, 0, "cam/1/frame", request("after"), 2)
			synctest.Wait()
			got := b.heard(t)
			if len(got) != 2 || got[0]["reason"] != "message_too_large" || got[1]["outcome"] != "completed" || len(b.done()) != 2 {
				t.Errorf("verdicts are %v, want one too large and one completed", got)
			}
			if s := l.Status(); s.Oversize != 1 || s.Link.Connections != 1 {
				t.Errorf("status is %+v, want one oversize over the first connection", s)
			}
		})
	})
	t.Run("AnswerTooLarge", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{}
			f.settle = func(edge.Task) (edge.Answer, edge.Outcome, error) {
				long := `{"outputs":[{"name":"o","shape":[1],"datatype":"BYTES","data":["` + strings.Repeat("x", 70<<10) + `"]}]}`
				return edge.Answer{Payload: edge.Payload{Body: []byte(long)}}, edge.Completed, nil
			}
			stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, 0, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			if got := b.heard(t); len(got) != 1 || got[0]["reason"] != "answer_too_large" || got[0]["answer"] != nil {
				t.Errorf("verdicts are %v, want one without its answer", got)
			}
		})
	})
}

func TestLink_Bounds(t *testing.T) {
	t.Run("TasksInside", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{hold: make(chan struct{})}
			l := stand(t, b, sitelink.Options{Tasks: f, MaxTasks: 2}, camera())
			for id := range uint16(5) {
				b.deliver(t, 0, "cam/1/frame", request(fmt.Sprint(id)), id+1)
			}
			synctest.Wait()
			full := b.heard(t)
			if len(full) != 3 || full[0]["reason"] != "queue_full" || full[0]["retryAfterMs"] != 1000.0 || len(f.all()) != 2 {
				t.Errorf("%d tasks inside, told %v; want 2, and 3 times queue_full at once", len(f.all()), full)
			}
			if got := b.done(); !slices.Equal(got, []uint16{3, 4, 5}) {
				t.Errorf("acknowledged %v, want what was refused", got)
			}
			close(f.hold)
			synctest.Wait()
			if got := l.Status(); got.Told != 5 || got.Tasks != 0 || got.Bytes != 0 || got.Full != 3 {
				t.Errorf("status is %+v, want 5 told, nothing inside", got)
			}
		})
	})
	t.Run("BytesInside", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{hold: make(chan struct{})}
			l := stand(t, b, sitelink.Options{Tasks: f, MaxBytes: 160 << 10, Link: mqtt.Options{Tuning: mqtt.Tuning{MaxFrame: 64 << 10}}},
				edge.Trigger{MQTT: "file", Model: "file", Reply: "out"})
			for id := range uint16(5) {
				b.deliver(t, 0, "file", make([]byte, 30<<10), id+1) // and as much again in the request
			}
			synctest.Wait()
			if got := l.Status(); got.Bytes > 160<<10 || got.Tasks != 2 || got.Full != 3 {
				t.Errorf("%d bytes in %d tasks, %d refused; want at most %d bytes in 2, 3 refused", got.Bytes, got.Tasks, got.Full, 160<<10)
			}
			close(f.hold)
			synctest.Wait()
			if got := l.Status(); got.Bytes != 0 || got.Told != 5 {
				t.Errorf("%d bytes are left and %d verdicts told, want none and 5", got.Bytes, got.Told)
			}
		})
	})
	t.Run("Rate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{}
			l := stand(t, b, sitelink.Options{Tasks: f, Rate: 10, Link: mqtt.Options{Inbox: 40}}, camera())
			for id := range uint16(40) {
				b.deliver(t, 0, "cam/1/frame", request(fmt.Sprint(id)), id+1)
			}
			synctest.Wait()
			if got := l.Status().Messages; got != 40 {
				t.Errorf("%d messages at once, want a burst of 40", got)
			}
			for id := range uint16(20) {
				b.deliver(t, 0, "cam/1/frame", request(fmt.Sprint(id)), id+41)
			}
			synctest.Wait()
			if got := l.Status().Messages; got != 40 {
				t.Errorf("%d messages at once, want the others to wait", got)
			}
			<-time.After(time.Second)
			synctest.Wait()
			if got := l.Status().Messages; got < 49 || got > 51 {
				t.Errorf("%d messages after a second, want 10 more", got)
			}
		})
	})
}
