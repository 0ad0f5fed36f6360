package mqtt_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
	"holdfast/mqtt/outbox"
)

// The benchmarks bring entries of a stream to a mosquitto on the loopback, and count
// those it acknowledged: as history, which leaves half of the link's time to others,
// as what happens now, and with the library alone, which is given the same texts.

// steady is a stream in memory with as many entries as wanted.
type steady struct {
	mu    sync.Mutex // guards the rest
	total uint64
	acked uint64
	given bool // false: there is nothing yet
	more  chan struct{}
	done  chan struct{}
}

const steadyEpoch = "0123456789abcdef"

func (s *steady) Read(after outbox.Position, most int) (outbox.Batch, error) {
	s.mu.Lock()
	from, given := max(s.acked, after.Seq), s.given
	s.mu.Unlock()
	batch := outbox.Batch{Epoch: steadyEpoch}
	for seq := from + 1; given && seq <= s.total && len(batch.Entries) < most; seq++ {
		batch.Entries = append(batch.Entries, outbox.Entry{Seq: seq, Boot: "boot", Record: outbox.Record{Class: outbox.D1, Kind: "task", Body: []byte(`{"model":"digits","outcome":"on_time","slack":12345}`)}})
	}
	return batch, nil
}

func (s *steady) Ack(to outbox.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.acked == s.total {
		return
	}
	if s.acked = max(s.acked, to.Seq); s.acked == s.total {
		close(s.done)
	}
}

func (s *steady) Changed() <-chan struct{} { return s.more }

// give lets the entries be there.
func (s *steady) give() {
	s.mu.Lock()
	s.given = true
	s.mu.Unlock()
	close(s.more)
}

func (s *steady) Report() edge.StreamReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	report := edge.StreamReport{Name: "steady", Epoch: steadyEpoch, Next: 1, Confirmed: s.acked}
	if s.given {
		report.Next = s.total + 1
	}
	return report
}

var _ fleetlink.Stream = (*steady)(nil)

// drainOptions are a node with one stream.
func drainOptions(at string, s *steady) fleetlink.Options {
	never := make(chan struct{})
	return fleetlink.Options{
		Site: "bench", Node: "n1", Boot: "boot", Session: mqtt.Options{Broker: "tcp://" + at}, Telemetry: s,
		State: func() edge.Reported { return edge.Reported{} }, StateChanged: func() <-chan struct{} { return never },
		Birth: func() edge.Presence { return edge.Presence{} }, Hello: func() edge.Hello { return edge.Hello{} },
	}
}

func BenchmarkFleet_Drain(b *testing.B) {
	m := startMosquitto(b)
	for _, history := range []bool{true, false} {
		b.Run(fmt.Sprint("History", history), func(b *testing.B) {
			s := &steady{total: uint64(b.N), given: history, more: make(chan struct{}), done: make(chan struct{})}
			l, err := fleetlink.New(drainOptions(m.address(), s))
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			if history {
				b.ResetTimer()
			}
			go func() { ended <- l.Run(ctx) }()
			if !history {
				for l.Status().Session == "" {
					<-l.Changed()
				}
				b.ResetTimer()
				s.give()
			}
			<-s.done
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			cancel()
			if err := <-ended; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkLibrary_Drain gives the same texts to the library, made beforehand.
func BenchmarkLibrary_Drain(b *testing.B) {
	m := startMosquitto(b)
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + m.address()).SetClientID("bench").SetCleanSession(false).SetAutoReconnect(false))
	if token := c.Connect(); token.Wait() && token.Error() != nil {
		b.Fatal(token.Error())
	}
	defer c.Disconnect(1000)
	text, err := mqtt.Envelope{
		Version: 1, Node: "n1", Epoch: steadyEpoch, Seq: 1, Boot: "boot", TimeQuality: mqtt.TimeNone, Class: mqtt.MemoryFirst,
		Type: "task", Body: []byte(`{"model":"digits","outcome":"on_time","slack":12345}`),
	}.Encode()
	if err != nil {
		b.Fatal(err)
	}
	flying := make(chan paho.Token, 32) // the link's window
	b.ResetTimer()
	go func() {
		for range b.N {
			flying <- c.Publish("hf/v1/bench/n1/up/event", 1, false, text)
		}
	}()
	for range b.N {
		if token := <-flying; token.Wait() && token.Error() != nil {
			b.Fatal(token.Error())
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
