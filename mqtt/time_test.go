package mqtt_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/mqtt"
)

// waits runs a session until it has waited n times and returns for how long.
func waits(t *testing.T, n int, o mqtt.Options) (all []time.Duration) {
	s := start(t, o)
	for range n {
		got := s.await(t, isWaiting)
		all = append(all, got.Wait)
		s.await(t, func(state mqtt.State) bool { return state.Since != got.Since })
	}
	return all
}

func seconds(of ...int) (all []time.Duration) {
	for _, n := range of {
		all = append(all, time.Duration(n)*time.Second)
	}
	return all
}

func half() float64 { return 0.5 }

func TestSession_Backoff(t *testing.T) {
	noRoute := func(int) error { return errors.New("no route") }
	refuse := func(code byte) func(p *peer) {
		return func(p *peer) {
			p.until(connect)
			p.send(connack, 2, 0, code)
			p.until(goodbye)
		}
	}
	// stands lets every connection stand for d.
	stands := func(d time.Duration) func(p *peer) {
		return func(p *peer) {
			_ = p.SetReadDeadline(time.Now().Add(d))
			honest(p)
		}
	}
	for _, test := range []struct {
		name   string
		broker *play
		cap    time.Duration
		want   []time.Duration // with half of the range drawn
	}{
		{"LostNetworkDoublesToCap", &play{refuse: noRoute}, 0, seconds(1, 2, 4, 8, 16, 30, 30)},
		{"LargeFleetRaisesCap", &play{refuse: noRoute}, 10 * time.Minute, seconds(1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300)},
		{"UnavailableIsALostNetwork", &play{script: refuse(3)}, 0, seconds(1, 2, 4)},
		{"RefusedWaitsLonger", &play{script: refuse(5)}, 0, []time.Duration{22500 * time.Millisecond, 45 * time.Second, 90 * time.Second, 180 * time.Second, 360 * time.Second, 450 * time.Second, 450 * time.Second}},
		{"UnstableStaysHigh", &play{script: stands(59 * time.Second)}, 0, seconds(1, 2, 4, 8)},
		{"StableReturnsToBase", &play{script: stands(61 * time.Second)}, 0, seconds(1, 1, 1, 1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := mqtt.Options{Dial: test.broker.dial, Random: half, Tuning: mqtt.Tuning{BackoffCap: test.cap}}
				if got := waits(t, len(test.want), o); !slices.Equal(got, test.want) {
					t.Errorf("waits are %v, want %v", got, test.want)
				}
			})
		})
	}
}

// TestSession_Jitter: the whole range is used, and a fleet does not come back at
// once.
func TestSession_Jitter(t *testing.T) {
	for draw, want := range map[float64]time.Duration{0.001: 2 * time.Millisecond, 0.25: 500 * time.Millisecond, 0.999: 1998 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b := &play{refuse: func(int) error { return errors.New("no route") }}
			got := waits(t, 1, mqtt.Options{Dial: b.dial, Random: func() float64 { return draw }})
			if got[0] != want {
				t.Errorf("wait is %v when %v is drawn, want %v", got[0], draw, want)
			}
		})
	}
}

// TestSession_RefusedForADay: a broker that refuses for a day is asked a bounded
// number of times, and taken back when it changes its mind.
func TestSession_RefusedForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := &play{script: func(p *peer) {
			if time.Since(began) > 24*time.Hour {
				honest(p)
				return
			}
			p.until(connect)
			p.send(connack, 2, 0, 4)
			p.until(goodbye)
		}}
		s := start(t, mqtt.Options{Dial: b.dial})
		got := s.await(t, isWaiting)
		if got.Failure.Cause != mqtt.Refused {
			t.Errorf("link is down for %v, want refused", got.Failure.Cause)
		}
		got = s.await(t, isUp)
		if got.Attempts > 24*60/5+10 || time.Since(began) > 25*time.Hour {
			t.Errorf("up after %d attempts and %v, want at most one in 5 minutes and up within the hour", got.Attempts, time.Since(began))
		}
	})
}

// TestSession_KeepAlive: silence is filled with pings, and a broker that answers
// them stays for a month.
func TestSession_KeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pings := 0
		b := &play{script: func(p *peer) {
			p.serve(func(got packet) bool {
				if got.kind == pingreq {
					pings++
				}
				return false
			})
		}}
		s := start(t, mqtt.Options{Dial: b.dial})
		s.await(t, isUp)
		time.Sleep(30 * 24 * time.Hour)
		synctest.Wait()
		if got := s.State(); got.Phase != mqtt.Up || got.Connections != 1 {
			t.Errorf("after a month state is %+v, want the first connection up", got)
		}
		if day := (s.State().BytesIn + s.State().BytesOut) / 30; day > 12<<10 {
			t.Errorf("an idle day costs %d bytes of MQTT, want at most 12 KiB", day)
		} else {
			t.Logf("an idle day costs %d bytes of MQTT", day)
		}
		if each := 30 * 24 * time.Hour / time.Duration(pings); each < 30*time.Second || each > 35*time.Second {
			t.Errorf("a ping every %v, want every 30 to 35 s", each)
		}
	})
}

// TestSession_Retune: what a policy changes holds from the next connection on.
func TestSession_Retune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tuning := mqtt.Tuning{MaxFrame: 2 << 10}
		b := &play{script: honest}
		s := start(t, mqtt.Options{Dial: b.dial, Retune: func() mqtt.Tuning { return tuning }})
		s.await(t, isUp)
		large := mqtt.Message{Topic: "x", Payload: make([]byte, 4<<10)}
		if err := s.Publish(t.Context(), large); err == nil || errors.Is(err, mqtt.ErrDown) {
			t.Errorf("Publish of 4 KiB returned %v, want that 2 KiB are allowed", err)
		}
		s.stop()
		b.open.Wait()
		tuning.MaxFrame = mqtt.PolicyFrame
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		s.await(t, isUp)
		if err := s.Publish(t.Context(), large); err != nil {
			t.Errorf("Publish of 4 KiB returned %v, want nil", err)
		}
		cancel()
		<-ended
	})
}
