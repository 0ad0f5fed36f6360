package mqtt_test

import (
	"fmt"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"holdfast/mqtt"
)

// The benchmarks publish messages of 200 bytes with QoS 1 to a mosquitto on the
// loopback and count those it acknowledged.

func windows(b *testing.B, run func(b *testing.B, at string, window int)) {
	m := startMosquitto(b)
	for _, window := range []int{8, 32, 256} {
		b.Run(fmt.Sprint("Window", window), func(b *testing.B) {
			run(b, m.address(), window)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acknowledged/s")
		})
	}
}

func BenchmarkSession_Send(b *testing.B) {
	windows(b, func(b *testing.B, at string, window int) {
		s := start(b, mqtt.Options{Broker: "tcp://" + at, ClientID: "bench", Tuning: mqtt.Tuning{Window: window}})
		defer s.stop()
		s.await(b, isUp)
		m := mqtt.Message{Topic: "bench", Payload: make([]byte, 200)}
		settled := make(chan error, window)
		go func() {
			for range b.N {
				if err := s.Send(b.Context(), m, func(err error) { settled <- err }); err != nil {
					settled <- err
				}
			}
		}()
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			if err := <-settled; err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLibrary_Publish is the same with the library alone and a window of slots.
func BenchmarkLibrary_Publish(b *testing.B) {
	windows(b, func(b *testing.B, at string, window int) {
		c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + at).SetClientID("bench").SetCleanSession(false).SetAutoReconnect(false))
		if token := c.Connect(); token.Wait() && token.Error() != nil {
			b.Fatal(token.Error())
		}
		defer c.Disconnect(1000)
		payload := make([]byte, 200)
		flying := make(chan paho.Token, window)
		b.ReportAllocs()
		b.ResetTimer()
		go func() {
			for range b.N {
				flying <- c.Publish("bench", 1, false, payload)
			}
		}()
		for range b.N {
			if token := <-flying; token.Wait() && token.Error() != nil {
				b.Fatal(token.Error())
			}
		}
	})
}
