package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSession_Run(t *testing.T) {
	t.Run("PublishesAndSaysGoodbye", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var seen []byte
			b := &play{script: func(p *peer) {
				p.serve(func(got packet) bool { seen = append(seen, got.kind); return false })
			}}
			s := start(t, mqtt.Options{Dial: b.dial, Subscriptions: []string{"a/#", "b/+"}, Handle: func(context.Context, mqtt.Delivery) {}})
			s.await(t, isUp)
			if err := s.Publish(t.Context(), mqtt.Message{Topic: "x", Payload: []byte("1")}); err != nil {
				t.Errorf("Publish returned %v, want nil", err)
			}
			s.stop()
			b.open.Wait()
			if got, want := fmt.Sprintf("%x", seen), "10803"+"0e0"; got != want {
				t.Errorf("broker saw %s, want CONNECT, SUBSCRIBE, PUBLISH, DISCONNECT", got)
			}
			if got := s.State(); got.Phase != mqtt.Idle || got.Acknowledged != 1 || got.OnTheWay != 0 {
				t.Errorf("state is %+v, want idle with one message acknowledged", got)
			}
		})
	})
	t.Run("EndsWhileConnecting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &play{script: func(p *peer) { p.until(goodbye) }}
			s := start(t, mqtt.Options{Dial: b.dial})
			synctest.Wait()
			s.stop()
		})
	})
	t.Run("EndsWhileWaiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &play{refuse: func(int) error { return errors.New("no route") }}
			s := start(t, mqtt.Options{Dial: b.dial, Random: func() float64 { return 0.9 }})
			s.await(t, isWaiting)
			began := time.Now()
			s.stop()
			if took := time.Since(began); took != 0 {
				t.Errorf("Run took %v to end, want at once", took)
			}
		})
	})
	t.Run("DownIsToldAtOnce", func(t *testing.T) {
		s, err := mqtt.New(mqtt.Options{Broker: "tcp://broker.test", ClientID: "n1"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Publish(t.Context(), mqtt.Message{Topic: "x"}); !errors.Is(err, mqtt.ErrDown) {
			t.Errorf("Publish returned %v, want ErrDown", err)
		}
	})
}
