package mqtt_test

import (
	"fmt"
	"os"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"holdfast/mqtt"
)

// The benchmarks publish messages of 200 bytes with QoS 1 to a mosquitto on the
// loopback and count those it acknowledged. `make bench` has them go to its own broker
// (HOLDFAST_BROKER, host:port) and be as long as a node's (HOLDFAST_BYTES).

func windows(b *testing.B, run func(b *testing.B, at string, window int)) {
	at := os.Getenv("HOLDFAST_BROKER")
	if at == "" {
		at = startMosquitto(b).address()
	}
	for _, window := range []int{8, 32, 256} {
		b.Run(fmt.Sprint("Window", window), func(b *testing.B) {
			run(b, at, window)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acknowledged/s")
		})
	}
}

func payload(b *testing.B) []byte {
	bytes := 200
	if text := os.Getenv("HOLDFAST_BYTES"); text != "" {
		if _, err := fmt.Sscan(text, &bytes); err != nil {
			b.Fatal(err)
		}
	}
	return make([]byte, bytes)
}

func BenchmarkSession_Send(b *testing.B) {
	windows(b, func(b *testing.B, at string, window int) {
		s := start(b, mqtt.Options{Broker: "tcp://" + at, ClientID: "bench", Tuning: mqtt.Tuning{Window: window}})
		defer s.stop()
		s.await(b, isUp)
		m := mqtt.Message{Topic: "bench", Payload: payload(b)}
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
		c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + at).SetClientID("library").SetCleanSession(false).SetAutoReconnect(false))
		if token := c.Connect(); token.Wait() && token.Error() != nil {
			b.Fatal(token.Error())
		}
		defer c.Disconnect(1000)
		payload := payload(b)
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
