package sitelink_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/mqtt/sitelink"
)

// reconnect cuts the link and waits until it is back.
func reconnect(t *testing.T, b *play, l running) {
	t.Helper()
	before := l.Status().Link.Connections
	b.cut()
	for l.Status().Link.Connections == before {
		<-time.After(time.Second)
	}
	synctest.Wait()
}

func TestLink_Again(t *testing.T) {
	t.Run("WhileItsTaskRuns", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{hold: make(chan struct{})}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, 0, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			reconnect(t, b, l)
			b.deliver(t, duplicate, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			if got := l.Status(); len(f.all()) != 1 || got.Duplicates != 1 || len(b.done()) != 0 {
				t.Errorf("%d tasks, %d duplicates, acknowledged %v; want one of each and not yet", len(f.all()), got.Duplicates, b.done())
			}
			close(f.hold)
			synctest.Wait()
			if got := b.heard(t); len(got) != 1 || got[0]["duplicate"] != nil || !slices.Equal(b.done(), []uint16{1}) {
				t.Errorf("verdicts are %v, acknowledged %v; want one of each", got, b.done())
			}
		})
	})
	t.Run("AfterItsVerdict", func(t *testing.T) { // our acknowledgement was lost
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, 0, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			reconnect(t, b, l)
			b.deliver(t, duplicate, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			if got := b.heard(t); len(got) != 1 || len(f.all()) != 1 || !slices.Equal(b.done(), []uint16{1, 1}) {
				t.Errorf("verdicts are %v of %d tasks, acknowledged %v; want one of one, acknowledged again", got, len(f.all()), b.done())
			}
		})
	})
	t.Run("OfAnotherProcess", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, duplicate, "cam/1/frame", request("1"), 9)
			synctest.Wait()
			if got := b.heard(t); len(got) != 1 || got[0]["duplicate"] != true || l.Status().Redelivered != 1 {
				t.Errorf("verdicts are %v, want one that says duplicate", got)
			}
		})
	})
	t.Run("SameWordsAreAnotherMessage", func(t *testing.T) { // the control: alike is not the same
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, 0, "cam/1/frame", request("1"), 1)
			b.deliver(t, 0, "cam/1/frame", request("1"), 2)
			synctest.Wait()
			b.deliver(t, 0, "cam/1/frame", request("1"), 1) // the id is free again
			synctest.Wait()
			reconnect(t, b, l)
			b.deliver(t, duplicate, "cam/1/frame", request("1"), 3)
			b.deliver(t, duplicate, "cam/1/frame", request("2"), 2)
			synctest.Wait()
			if got := b.heard(t); len(got) != 5 || len(f.all()) != 5 || l.Status().Duplicates != 0 {
				t.Errorf("%d verdicts of %d tasks, want 5", len(got), len(f.all()))
			}
		})
	})
	t.Run("GivenUpAtTheEnd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{hold: make(chan struct{})}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, 0, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			l.stop()
			if got := l.Status(); got.Abandoned != 1 || got.Tasks != 0 || got.Bytes != 0 || len(b.done()) != 0 || len(b.heard(t)) != 0 {
				t.Errorf("status is %+v, acknowledged %v; want it given up, neither told nor acknowledged", got, b.done())
			}
			close(f.hold) // and when Run begins again, the message comes again and is new
			ctx, cancel := context.WithCancel(t.Context())
			var work sync.WaitGroup
			work.Go(func() { _ = l.Run(ctx) })
			synctest.Wait()
			b.deliver(t, duplicate, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			if got := b.heard(t); len(got) != 1 || got[0]["outcome"] != "completed" || got[0]["duplicate"] != true || len(b.done()) != 1 {
				t.Errorf("verdicts are %v, acknowledged %v; want one that says duplicate", got, b.done())
			}
			cancel()
			work.Wait()
		})
	})
}

// TestLink_Away: verdicts wait for the broker, in order, for as long as they are of
// use, and not without a bound.
func TestLink_Away(t *testing.T) {
	t.Run("VerdictsWait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{hold: make(chan struct{})}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			for id := range uint16(5) {
				b.deliver(t, 0, "cam/1/frame", request(fmt.Sprint(id)), id+1)
			}
			synctest.Wait()
			b.with(func() { b.refuses = true })
			b.cut()
			close(f.hold)
			synctest.Wait()
			if got := l.Status(); got.Waiting != 5 || isUp(got) || got.Link.Failure == nil {
				t.Errorf("%d verdicts wait while the link is %+v, want 5 and a failure", got.Waiting, got.Link)
			}
			b.with(func() { b.refuses = false })
			for !isUp(l.Status()) {
				<-time.After(time.Second)
			}
			synctest.Wait()
			ids := map[string]bool{}
			for _, v := range b.heard(t) {
				ids[v["id"].(string)] = true
			}
			if len(ids) != 5 || l.Status().Waiting != 0 || l.Status().Told != 5 {
				t.Errorf("told %v, want all 5", ids)
			}
		})
	})
	t.Run("TheyGrowOld", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{hold: make(chan struct{})}
			l := stand(t, b, sitelink.Options{Tasks: f, VerdictLife: 10 * time.Second}, camera())
			b.deliver(t, 0, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			b.with(func() { b.refuses = true })
			b.cut()
			close(f.hold)
			<-time.After(10 * time.Second)
			if got := l.Status(); got.Waiting != 1 {
				t.Errorf("%d verdicts wait, want 1 until its deadline and 10 s have passed", got.Waiting)
			}
			<-time.After(80 * time.Millisecond)
			if got := l.Status(); got.Waiting != 0 || got.Expired != 1 || got.WaitingBytes != 0 || got.Bytes != 0 || got.Triggers[0].Untold != 1 {
				t.Errorf("status is %+v, want the verdict dropped and counted", got)
			}
		})
	})
	t.Run("MessagesWaitForPlaces", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{deaf: true}, &tasks{}
			l := stand(t, b, sitelink.Options{Tasks: f, MaxVerdicts: 3}, camera())
			for id := range uint16(8) {
				b.deliver(t, 0, "cam/1/frame", request(fmt.Sprint(id)), id+1)
			}
			synctest.Wait()
			if got := l.Status(); got.Waiting != 3 || len(f.all()) != 3 {
				t.Errorf("%d verdicts wait of %d tasks, want 3: the others have no place yet", got.Waiting, len(f.all()))
			}
			b.with(func() { b.deaf = false })
			reconnect(t, b, l)
			for id := range uint16(8) {
				b.deliver(t, duplicate, "cam/1/frame", request(fmt.Sprint(id)), id+1)
			}
			synctest.Wait()
			if got := l.Status(); got.Told != 8 || got.CrowdedOut != 0 || len(f.all()) != 8 {
				t.Errorf("%d told of %d tasks, want 8", got.Told, len(f.all()))
			}
		})
	})
	t.Run("TheOldestGiveWayForBytes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{hold: make(chan struct{})}
			f.settle = func(edge.Task) (edge.Answer, edge.Outcome, error) {
				long := `{"outputs":[{"name":"o","shape":[1],"datatype":"BYTES","data":["` + strings.Repeat("x", 60<<10) + `"]}]}`
				return edge.Answer{Payload: edge.Payload{Body: []byte(long)}}, edge.Completed, nil
			}
			l := stand(t, b, sitelink.Options{Tasks: f, MaxBytes: 160 << 10}, camera())
			for id := range uint16(5) {
				b.deliver(t, 0, "cam/1/frame", request(fmt.Sprint(id)), id+1)
			}
			synctest.Wait()
			b.with(func() { b.refuses = true })
			b.cut()
			synctest.Wait()
			close(f.hold)
			synctest.Wait()
			if got := l.Status(); got.Waiting != 2 || got.CrowdedOut != 3 || got.WaitingBytes > 160<<10 {
				t.Errorf("%d wait with %d bytes and %d were crowded out, want 2 and 3", got.Waiting, got.WaitingBytes, got.CrowdedOut)
			}
		})
	})
	t.Run("UnacknowledgedAreSentAgain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{deaf: true}, &tasks{}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, 0, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			if len(b.heard(t)) != 1 || len(b.done()) != 0 {
				t.Fatalf("%d verdicts, acknowledged %v; want one, and nothing before the broker has it", len(b.heard(t)), b.done())
			}
			b.with(func() { b.deaf = false })
			reconnect(t, b, l)
			b.deliver(t, duplicate, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			got := b.heard(t)
			if len(got) != 2 || got[1]["duplicate"] != true || got[1]["id"] != "1" || len(f.all()) != 1 || !slices.Equal(b.done(), []uint16{1}) {
				t.Errorf("verdicts are %v of %d tasks, acknowledged %v; want one task, its verdict twice, then the acknowledgement", got, len(f.all()), b.done())
			}
		})
	})
}

func TestLink_Triggers(t *testing.T) {
	t.Run("ChangeLive", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, f := &play{}, &tasks{hold: make(chan struct{})}
			l := stand(t, b, sitelink.Options{Tasks: f}, camera())
			b.deliver(t, 0, "cam/1/frame", request("1"), 1)
			synctest.Wait()
			plc := edge.Trigger{MQTT: "plc/values", Model: "vector", Class: edge.Normal, Reply: "plc/verdict"}
			l.Triggers([]edge.Trigger{plc})
			synctest.Wait()
			b.with(func() {
				if !slices.Equal(b.subscribed, []string{"plc/values"}) || !slices.Equal(b.gaveUp, []string{"cam/+/frame"}) {
					t.Errorf("subscribed to %q and gave up %q, want plc/values and cam/+/frame", b.subscribed, b.gaveUp)
				}
			})
			close(f.hold)
			synctest.Wait()
			if got := b.heard(t); len(got) != 1 || got[0]["_to"] != "cam/1/verdict" {
				t.Errorf("verdicts are %v, want that of the task the change came upon", got)
			}
			b.deliver(t, 0, "plc/values", []byte("[1,2,3,4]"), 2)
			b.deliver(t, duplicate, "cam/1/frame", request("1"), 1) // a last one the broker still had
			synctest.Wait()
			if got := l.Status(); got.Told != 2 || got.Strays != 1 || len(got.Triggers) != 1 || got.Link.Phase != "up" {
				t.Errorf("status is %+v, want the second told and a stray", got)
			}
			l.Triggers([]edge.Trigger{plc, {Dir: "/in", Model: "vector"}})
			synctest.Wait()
			if got := l.Status(); got.Link.Connections != 1 || got.Triggers[0].Told != 1 {
				t.Errorf("status is %+v, want the connection kept, and the trigger's counts", got)
			}
		})
	})
	t.Run("NoneNoConnection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &play{}
			o := sitelink.Options{Tasks: &tasks{}}
			o.Link.Dial = b.dial
			l := start(t, o)
			synctest.Wait()
			b.with(func() {
				if b.now != nil {
					t.Error("connected without triggers")
				}
			})
			l.Triggers([]edge.Trigger{camera()})
			synctest.Wait()
			if got := l.Status(); !isUp(got) {
				t.Errorf("link is %+v, want up", got.Link)
			}
			l.Triggers(nil)
			synctest.Wait()
			b.with(func() {
				if !slices.Equal(b.gaveUp, []string{"cam/+/frame"}) {
					t.Errorf("gave up %q, want cam/+/frame", b.gaveUp)
				}
			})
		})
	})
	t.Run("FormerAreGivenUp", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &play{}
			stand(t, b, sitelink.Options{Tasks: &tasks{}, Former: []string{"old/#", "cam/+/frame"}}, camera())
			b.with(func() {
				if !slices.Equal(b.gaveUp, []string{"old/#"}) || !slices.Equal(b.subscribed, []string{"cam/+/frame"}) {
					t.Errorf("gave up %q for %q, want old/# for cam/+/frame", b.gaveUp, b.subscribed)
				}
			})
		})
	})
	t.Run("StraysAreTold", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, w := &play{}, &board{}
			stand(t, b, sitelink.Options{Tasks: &tasks{}, Warnings: w}, camera())
			b.deliver(t, 0, "old/1", []byte("x"), 1)
			synctest.Wait()
			if got := w.list(); len(got) != 1 || len(b.done()) != 1 {
				t.Errorf("warnings are %v, acknowledged %v; want one of each", got, b.done())
			}
		})
	})
}

// TestLink_Refused: what would make a task of its own answer, or cannot be served, is
// left out with a warning; the rest works.
func TestLink_Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := &play{}, &board{}
		good := camera()
		l := stand(t, b, sitelink.Options{Tasks: &tasks{}, Warnings: w}, good,
			edge.Trigger{MQTT: "loop", Model: "vector", Reply: "loop"},
			edge.Trigger{MQTT: "chain/a", Model: "vector", Reply: "cam/9/frame"},
			edge.Trigger{MQTT: "ring/+", Model: "vector", Reply: "+/2"},
			edge.Trigger{MQTT: "wild/+", Model: "vector", Reply: "out/+/+"},
			edge.Trigger{MQTT: "half/a+", Model: "vector"},
			edge.Trigger{MQTT: "own", Model: "vector", Reply: "$SYS/x"},
			good,
		)
		warnings := w.list()
		for _, filter := range []string{"loop", "chain/a", "ring/+", "wild/+", "half/a+", "own", "cam/+/frame"} {
			warning, ok := warnings[sitelink.WarningTrigger+" "+filter]
			if !ok || warning.Detail == "" || warning.Remedy == "" {
				t.Errorf("no warning with a remedy about %q: %+v", filter, warning)
			}
		}
		if got := l.Status(); len(got.Triggers) != 1 || len(got.Warnings) != 7 {
			t.Errorf("%d triggers and %d warnings, want 1 and 7", len(got.Triggers), len(got.Warnings))
		}
		l.Triggers([]edge.Trigger{good})
		if got := w.list(); len(got) != 0 {
			t.Errorf("warnings %v still stand", got)
		}
	})
	t.Run("TooMany", func(t *testing.T) {
		l, err := sitelink.New(sitelink.Options{Tasks: &tasks{}, Models: catalogue(), Link: linkOptions()})
		if err != nil {
			t.Fatal(err)
		}
		var many []edge.Trigger
		for i := range 70 {
			many = append(many, edge.Trigger{MQTT: fmt.Sprintf("t/%03d", i), Model: "vector"})
		}
		l.Triggers(many)
		if got := l.Status(); len(got.Triggers) != 64 || len(got.Warnings) != 6 {
			t.Errorf("%d triggers and %d warnings, want 64 and 6", len(got.Triggers), len(got.Warnings))
		}
		l.Triggers(append(many, edge.Trigger{MQTT: "t/+", Model: "vector"}))
		if got := l.Status(); len(got.Triggers) != 71 || len(got.Warnings) != 0 {
			t.Errorf("%d triggers and %d warnings, want 71 and none: one filter covers them", len(got.Triggers), len(got.Warnings))
		}
	})
}
