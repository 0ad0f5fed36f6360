package sitelink_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/broker"
	"holdfast/mqtt/sitelink"
)

// startEmbedded runs our own broker.
func startEmbedded(tb testing.TB) string {
	tb.Helper()
	b, err := broker.New(broker.Options{Listen: []broker.Listener{{Address: "127.0.0.1:0"}}, Anonymous: true, MaxQueue: 1 << 14})
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.Open(); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("broker ended with %v, want nil", err)
		}
	})
	return b.Addresses()[0].String()
}

// watch looks at the link until stop is called and returns the most it saw.
func watch(l running) (stop func() (tasks int, bytes int64, waiting int, waitingBytes int64)) {
	ctx, cancel := context.WithCancel(context.Background())
	var tasks, waiting int
	var held, waitingBytes int64
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s := l.Status()
				tasks, held = max(tasks, s.Tasks), max(held, s.Bytes)
				waiting, waitingBytes = max(waiting, s.Waiting), max(waitingBytes, s.WaitingBytes)
			}
		}
	})
	return func() (int, int64, int, int64) {
		cancel()
		work.Wait()
		return tasks, held, waiting, waitingBytes
	}
}

// TestLink_Flood: a site that sends without end, garbage among it, meets the bounds,
// the refusals come at once, and memory does not grow.
func TestLink_Flood(t *testing.T) {
	const messages, maxTasks, maxBytes, maxVerdicts = 2_500, 8, 1 << 20, 64
	m := startMosquitto(t)
	f := &tasks{takes: 20 * time.Millisecond, forgets: true}
	o := sitelink.Options{Tasks: f, MaxTasks: maxTasks, MaxBytes: maxBytes, MaxVerdicts: maxVerdicts, Rate: 100_000}
	o.Link.Broker, o.Link.Random = "tcp://"+m.Address(), func() float64 { return 0.01 }
	var triggers []edge.Trigger
	for _, model := range []string{"vector", "image", "file", "open"} {
		triggers = append(triggers, edge.Trigger{MQTT: "in/#", Model: model, Class: edge.Normal, Reply: "out/" + model})
	}
	l := start(t, o, triggers...)
	l.await(t, isUp)
	var heard atomic.Int64
	session(t, mqtt.Options{Broker: "tcp://" + m.Address(), ClientID: "ear", Subscriptions: []string{"out/#"}, Inbox: 1 << 14, Handle: func(_ context.Context, d mqtt.Delivery) {
		if !bytes.HasPrefix(d.Payload, []byte("{")) || !bytes.HasSuffix(d.Payload, []byte("}")) {
			t.Errorf("verdict is %.80q, want an object", d.Payload)
		}
		heard.Add(1)
		d.Ack()
	}})
	mouth := session(t, mqtt.Options{Broker: "tcp://" + m.Address(), ClientID: "mouth", Tuning: mqtt.Tuning{Window: 512}})
	garbage := garbage()
	before := heap()
	stop := watch(l)
	var settled sync.WaitGroup
	for i := range messages {
		settled.Add(1)
		payload := garbage[i%len(garbage)]
		if err := mouth.Send(t.Context(), mqtt.Message{Topic: fmt.Sprintf("in/%d", i%7), Payload: payload}, func(error) { settled.Done() }); err != nil {
			t.Fatal(err)
		}
	}
	settled.Wait()
	l.await(t, func(s sitelink.Status) bool { // QoS 1: all of them come, and all verdicts end
		return s.Messages-s.Duplicates >= messages && s.Tasks == 0 && s.Waiting == 0 && s.Bytes == 0
	})
	tasks, held, waiting, waitingBytes := stop()
	got := l.Status()
	if tasks > maxTasks || held > maxBytes || waiting > maxVerdicts || waitingBytes > maxBytes || f.most > maxTasks {
		t.Errorf("at most there were %d tasks (%d in the scheduler), %d bytes, %d verdicts of %d bytes; want %d, %d, %d",
			tasks, f.most, held, waiting, waitingBytes, maxTasks, maxBytes, maxVerdicts)
	}
	if got.Messages < messages || got.Full == 0 || got.Triggers[0].Unfit == 0 || heard.Load() == 0 {
		t.Errorf("status is %+v with %d heard: too little of a flood to prove anything", got, heard.Load())
	}
	if got.Tasks != 0 || got.Bytes != 0 || got.Waiting != 0 {
		t.Errorf("after the flood %d tasks, %d bytes and %d verdicts are left, want none", got.Tasks, got.Bytes, got.Waiting)
	}
	if grown := heap() - before; grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes over %d messages, want at most 8 MiB", grown, messages)
	}
	var verdicts uint64
	for _, trigger := range got.Triggers {
		for _, n := range trigger.Outcomes {
			verdicts += n
		}
	}
	// Every message has one for each trigger, whatever became of it then.
	if want := uint64(len(triggers)) * messages; verdicts < want || got.Told != verdicts {
		t.Errorf("%d verdicts, %d told, for %d messages and %d triggers, want at least %d and all told", verdicts, got.Told, got.Messages, len(triggers), want)
	}
	t.Logf("%d messages, %d verdicts, %d told, %d crowded out; at most %d tasks, %d bytes, %d verdicts", got.Messages, verdicts, got.Told, got.CrowdedOut, tasks, held, waiting)
}

// garbage is what a site may send by mistake or on purpose, and sound requests.
func garbage() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	all := [][]byte{
		request("sound"), []byte("[1,2,3,4]"), floats(1, 2, 3, 4), {}, []byte("{"), []byte("["), []byte(`{"inputs":`), []byte("null"),
		[]byte(strings.Repeat("[", 10_000)), []byte(`{"inputs":` + strings.Repeat("[", 10_000)), []byte(strings.Repeat(`{"inputs":`, 2000)),
		[]byte(`{"inputs":[{"name":"in","shape":[9223372036854775807,9223372036854775807],"datatype":"FP32","data":[1]}]}`),
		[]byte(`{"id":"` + strings.Repeat("x", 60_000) + `","inputs":[]}`), bytes.Repeat([]byte("1,"), 20_000), []byte("[" + strings.Repeat("1,", 20_000) + "1]"),
		[]byte("NaN"), []byte("[NaN]"), []byte("[1e999]"), []byte("\xef\xbb\xbf[1]"), []byte(`{"parameters":{"timeout":-1},"inputs":[{"name":"in","shape":[1],"datatype":"FP32","data":[1]}]}`),
	}
	for range 20 {
		junk := make([]byte, r.IntN(4000))
		for i := range junk {
			junk[i] = byte(r.Uint32())
		}
		all = append(all, junk)
	}
	return all
}

func heap() int64 {
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestLink_People: what a person at the site does, with the tools of theirs.
func TestLink_People(t *testing.T) {
	for name, run := range map[string]func(testing.TB) string{
		"Embedded":  startEmbedded,
		"Mosquitto": func(tb testing.TB) string { return startMosquitto(tb).Address() },
	} {
		t.Run(name, func(t *testing.T) {
			at := run(t)
			o := sitelink.Options{Tasks: &tasks{}}
			o.Link.Broker = "tcp://" + at
			l := start(t, o, triggersOf(t)...)
			l.await(t, isUp)
			said := make(chan string, 1)
			go func() {
				said <- tool(t, "mosquitto_sub", at, "-t", "factory/+/verdict", "-q", "1", "-v", "-C", "1", "-W", "10", "-i", "person", "-c")
			}()
			for heard := false; !heard; { // the subscription may stand later than the message
				tool(t, "mosquitto_pub", at, "-t", "factory/cam1/frame", "-q", "1", "-m", "[1,2,3,4]")
				select {
				case line := <-said:
					heard = true
					topic, payload, _ := strings.Cut(line, " ")
					if v := readVerdict(t, []byte(payload)); topic != "factory/cam1/verdict" || v["outcome"] != "completed" || v["class"] != "normal" {
						t.Errorf("mosquitto_sub says %s", line)
					}
				case <-time.After(200 * time.Millisecond):
				}
			}
		})
	}
}

// triggersOf reads a policy as it comes to a node.
func triggersOf(tb testing.TB) []edge.Trigger {
	tb.Helper()
	p, err := edge.DecodePolicy([]byte(`{"apiVersion":"holdfast/v1","kind":"Policy","metadata":{"name":"site","version":1,"audience":{"group":"all"}},
		"lease":{"hours":24,"boots":10},"triggers":[{"mqtt":"factory/+/frame","model":"vector","deadline":"2s","reply":"factory/+/verdict"}]}`))
	if err != nil {
		tb.Fatal(err)
	}
	return p.Triggers
}
