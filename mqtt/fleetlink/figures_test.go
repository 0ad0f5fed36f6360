package fleetlink_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
)

// TestLink_Idle: what a node costs on the wire on a day on which nothing happens:
// both ways, MQTT only, without TLS and TCP.
func TestLink_Idle(t *testing.T) {
	const besides = 8 << 10 // four times birth, hello and state, with their answers and echoes
	for _, keepAlive := range []time.Duration{30 * time.Second, 5 * time.Second} {
		t.Run(keepAlive.String(), func(t *testing.T) {
			alter := func(_ *process, o *fleetlink.Options) { o.Session.Tuning.KeepAlive = keepAlive }
			on(t, alter, func(t *testing.T, s *stage) {
				before, asked := s.node.Status().Bytes, s.broker.count(pingreq)
				pass(24 * time.Hour)
				day := s.node.Status().Bytes - before
				pings := 4 * uint64(s.broker.count(pingreq)-asked)
				t.Logf("an idle day costs %d bytes, %d of them pings and their answers", day, pings)
				if day > pings+besides || pings > 4*uint64(24*time.Hour/keepAlive) {
					t.Errorf("an idle day costs %d bytes, %d of them pings; want at most one a %v, and %d", day, pings, keepAlive, besides)
				}
			})
		})
	}
}

// gate is a broker that is away, and then takes in so many a second. Who is not let in
// waits in its queue, as in that of a kernel, and is turned away when it is full.
type gate struct {
	mu     sync.Mutex // guards the rest
	opens  time.Time
	rate   int
	queue  time.Duration
	next   time.Time
	all    map[time.Duration]int // attempts, by the second since it opened
	turned int
	broker *broker
}

func (g *gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	g.mu.Lock()
	now := time.Now()
	if now.Before(g.opens) {
		g.mu.Unlock()
		return nil, errNoRoute
	}
	g.all[now.Sub(g.opens).Truncate(time.Second)]++
	if g.next.Before(now) {
		g.next = now
	}
	turn := g.next.Sub(now)
	if turn > g.queue {
		g.turned++
		g.mu.Unlock()
		return nil, errNoRoute
	}
	g.next = g.next.Add(time.Second / time.Duration(g.rate))
	g.mu.Unlock()
	select {
	case <-time.After(turn):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return g.broker.dial(ctx, network, address)
}

// TestLink_Storm: a broker comes back, and so does a whole fleet. Each node is a real
// session with its real backoff; the broker takes in 500 connections a second and lets
// 5 s of them wait. A shorter fleet gets a slower broker.
func TestLink_Storm(t *testing.T) {
	nodes := min(1000*soak(), 10_000) // HOLDFAST_SOAK=10 for the figure
	rate := 500 * nodes / 10_000
	for _, test := range []struct {
		name        string
		away, limit time.Duration
		within      time.Duration // all are back
		peak        int           // attempts in a second
	}{
		{"AwayForAnHour", time.Hour, time.Minute, 3 * time.Minute, nodes / 10},
		{"AwayForAnHourOfALargeFleet", time.Hour, 5 * time.Minute, 15 * time.Minute, nodes / 50},
		{"Restart", time.Millisecond, time.Minute, 3 * time.Minute, nodes * 3 / 4}, // half of the first attempts, which are within 2 s, and a quarter of the second ones, within 4
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(1)
				b.listens = false
				g := &gate{broker: b, opens: time.Now().Add(test.away), rate: rate, queue: 5 * time.Second, all: map[time.Duration]int{}}
				back, peak := storm(t, g, nodes, test.limit)
				t.Logf("%d nodes, cap %v, %d a second are let in: half back after %v, all after %v; at most %d attempts in a second, %d turned away",
					nodes, test.limit, g.rate, back[nodes/2], back[nodes-1], peak, g.turned)
				if last := back[nodes-1]; last > test.within {
					t.Errorf("the last was back after %v, want within %v", last, test.within)
				}
				if peak > test.peak {
					t.Errorf("%d attempts in a second, want at most %d", peak, test.peak)
				}
			})
		})
	}
}

// storm returns when the nodes were back, in order.
func storm(t *testing.T, g *gate, nodes int, limit time.Duration) (back []time.Duration, peak int) {
	var mu sync.Mutex
	var running sync.WaitGroup
	for n := range nodes {
		random := rand.New(rand.NewPCG(uint64(n), 11))
		ctx, cancel := context.WithCancel(context.Background())
		s, err := mqtt.New(mqtt.Options{
			Broker: "tcp://broker.test", ClientID: fmt.Sprint("n", n), Dial: g.dial, Random: random.Float64,
			Tuning: mqtt.Tuning{BackoffCap: limit, Window: 1}, Inbox: 1,
			OnUp: func(context.Context) {
				mu.Lock()
				defer mu.Unlock()
				back = append(back, time.Since(g.opens))
				cancel() // one that is back takes no more part
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { _ = s.Run(ctx) })
	}
	running.Wait()
	g.broker.ended.Wait()
	for _, n := range g.all {
		peak = max(peak, n)
	}
	return back, peak
}
