package mqtt_test

import (
	"testing"
	"time"

	"holdfast/mqtt"
)

// history is an entry of the kind a node has most of.
func history() mqtt.Envelope {
	at := time.Date(2026, 11, 21, 8, 0, 0, 123e6, time.UTC)
	return mqtt.Envelope{
		Version: mqtt.EnvelopeVersion, Node: "gw-1", Epoch: "00ff00ff00ff00ff", Seq: 68411, Boot: "4f1c7a3e-1c1b-4c36-9d4c-8f7f8a3f2b10", MonoMs: 123456789,
		Time: &at, TimeQuality: mqtt.TimeNTP, Class: mqtt.MemoryFirst, Historical: true, Type: "task",
		Body: []byte(`{"deadline":"met","id":"t-0123456789abcdef","instance":"digits-2","model":"digits","queuedMs":1.25,"runMs":12.5,"tenant":"line-3","verdict":"ok"}`),
	}
}

func BenchmarkEnvelope_Encode(b *testing.B) {
	u := history()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := u.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEnvelope(b *testing.B) {
	text, err := history().Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mqtt.DecodeEnvelope(text); err != nil {
			b.Fatal(err)
		}
	}
}
