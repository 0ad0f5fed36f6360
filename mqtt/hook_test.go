package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/mqtt"
)

func TestSession_Hooks(t *testing.T) {
	t.Run("UpThenDownEachTime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var story []string
			b := &play{script: func(p *peer) {
				_ = p.SetReadDeadline(time.Now().Add(time.Hour))
				honest(p)
			}}
			var s running
			started := make(chan struct{})
			s = start(t, mqtt.Options{
				Dial: b.dial,
				OnUp: func(ctx context.Context) {
					<-started
					story = append(story, "up")
					if err := s.Publish(ctx, mqtt.Message{Topic: "birth"}); err != nil {
						t.Errorf("birth was not published: %v", err)
					}
					<-ctx.Done()
					story = append(story, "over")
				},
				OnDown: func(f *mqtt.Failure) { story = append(story, fmt.Sprint("down ", f != nil)) },
			})
			close(started)
			s.await(t, func(state mqtt.State) bool { return state.Connections == 3 })
			synctest.Wait()
			s.stop()
			want := []string{"up", "over", "down true", "up", "over", "down true", "up", "over", "down false"}
			if !slices.Equal(story, want) {
				t.Errorf("story is %q, want %q", story, want)
			}
		})
	})
	t.Run("FarewellIsStillPublished", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var seen []string
			b := &play{script: func(p *peer) {
				p.serve(func(got packet) bool {
					if got.kind == publish {
						seen = append(seen, got.payload())
					}
					if got.kind == goodbye {
						seen = append(seen, "goodbye")
					}
					return false
				})
			}}
			var s running
			started := make(chan struct{})
			s = start(t, mqtt.Options{Dial: b.dial, OnUp: func(ctx context.Context) {
				<-started
				<-ctx.Done()
				if err := s.Publish(context.WithoutCancel(ctx), mqtt.Message{Topic: "presence", Payload: []byte("offline")}); err != nil {
					t.Errorf("farewell was not published: %v", err)
				}
			}})
			close(started)
			s.await(t, isUp)
			synctest.Wait()
			s.stop()
			b.open.Wait()
			if want := []string{"offline", "goodbye"}; !slices.Equal(seen, want) {
				t.Errorf("broker saw %q, want %q", seen, want)
			}
		})
	})
	t.Run("FarewellNobodyAcknowledgesEnds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &play{script: func(p *peer) { p.serve(func(got packet) bool { return got.kind == publish }) }}
			var s running
			started := make(chan struct{})
			s = start(t, mqtt.Options{Dial: b.dial, OnUp: func(ctx context.Context) {
				<-started
				<-ctx.Done()
				if err := s.Publish(context.WithoutCancel(ctx), mqtt.Message{Topic: "presence"}); !errors.Is(err, mqtt.ErrUnacknowledged) {
					t.Errorf("farewell ended with %v, want ErrUnacknowledged", err)
				}
			}})
			close(started)
			s.await(t, isUp)
			synctest.Wait()
			began := time.Now()
			s.stop()
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("Run took %v to end, want 2 s for the farewell and 1 s for the goodbye", took)
			}
		})
	})
	t.Run("WillIsAskedEachTime", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex // an old connection may end after a new one began
			var wills []string
			b := &play{script: func(p *peer) {
				p.serve(func(got packet) bool {
					mu.Lock()
					defer mu.Unlock()
					if got.kind == connect {
						wills = append(wills, string(got.body[len(got.body)-1:]))
						p.answer(got)
						p.Close()
					}
					return false
				})
			}}
			n := 0
			s := start(t, mqtt.Options{Dial: b.dial, Will: func() *mqtt.Message {
				n++
				return &mqtt.Message{Topic: "presence", Payload: fmt.Append(nil, n), Retained: true}
			}})
			s.await(t, func(state mqtt.State) bool { return state.Attempts == 4 })
			s.stop()
			b.open.Wait()
			if want := []string{"1", "2", "3"}; !slices.Equal(wills[:3], want) {
				t.Errorf("wills are %q, want %q", wills, want)
			}
		})
	})
}

// TestSession_Window: no more than the window is on its way, messages leave in the
// order of Send, and each settles once.
func TestSession_Window(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window, messages = 4, 200
		waiting, most := 0, 0
		var order []string
		b := &play{script: func(p *peer) {
			p.serve(func(got packet) bool {
				if got.kind != publish {
					return false
				}
				waiting++
				most = max(most, waiting)
				order = append(order, got.payload())
				if waiting == window || len(order) == messages { // acknowledged late, the last first
					for id := got.id(); waiting > 0; id-- {
						p.acknowledge(id)
						waiting--
					}
				}
				return true
			})
		}}
		s := start(t, mqtt.Options{Dial: b.dial, Tuning: mqtt.Tuning{Window: window}})
		s.await(t, isUp)
		settled := make(chan int, 2*messages)
		var want []string
		for i := range messages {
			want = append(want, fmt.Sprint(i))
			m := mqtt.Message{Topic: "x", Payload: fmt.Append(nil, i)}
			if err := s.Send(t.Context(), m, func(err error) {
				if err != nil {
					t.Errorf("message %d: %v", i, err)
				}
				settled <- i
			}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if len(settled) != messages || most != window || !slices.Equal(order, want) {
			t.Errorf("%d settled, %d at most on their way, in order %v; want %d, %d, in order", len(settled), most, slices.Equal(order, want), messages, window)
		}
		full, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range window - 1 { // one less than the broker waits for
			_ = s.Send(full, mqtt.Message{Topic: "x"}, func(error) {})
		}
	})
}

func TestSession_BadMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &play{script: honest}
		s := start(t, mqtt.Options{Dial: b.dial})
		s.await(t, isUp)
		for _, topic := range []string{"", "a/+", "#", "a\x00", "a\xff", string(make([]byte, mqtt.MaxTopic+1))} {
			if err := s.Publish(t.Context(), mqtt.Message{Topic: topic}); err == nil {
				t.Errorf("Publish to %.20q returned nil, want an error", topic)
			}
		}
		if got := s.State(); got.Phase != mqtt.Up || got.Published != 0 {
			t.Errorf("state is %+v, want up with nothing published", got)
		}
	})
}

func TestNew(t *testing.T) {
	good := func() mqtt.Options { return mqtt.Options{Broker: "tcp://b", ClientID: "n"} }
	if _, err := mqtt.New(good()); err != nil {
		t.Errorf("New returned %v, want nil", err)
	}
	for name, spoil := range map[string]func(*mqtt.Options){
		"NoBroker":         func(o *mqtt.Options) { o.Broker = "" },
		"NoScheme":         func(o *mqtt.Options) { o.Broker = "broker:1883" },
		"OtherScheme":      func(o *mqtt.Options) { o.Broker = "ws://b" },
		"PasswordInURL":    func(o *mqtt.Options) { o.Broker = "tcp://u:p@b" },
		"NoClientID":       func(o *mqtt.Options) { o.ClientID = "" },
		"HandlerMissing":   func(o *mqtt.Options) { o.Subscriptions = []string{"a"} },
		"FilterHashInside": func(o *mqtt.Options) { o.Subscriptions, o.Handle = []string{"a/#/b"}, accept },
		"FilterPartWild":   func(o *mqtt.Options) { o.Subscriptions, o.Handle = []string{"a/b+"}, accept },
		"FilterTwice":      func(o *mqtt.Options) { o.Subscriptions, o.Handle = []string{"a", "a"}, accept },
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			spoil(&o)
			if _, err := mqtt.New(o); err == nil {
				t.Error("New returned nil, want an error")
			}
		})
	}
}
