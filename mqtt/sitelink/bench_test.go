package sitelink_test

import (
	"context"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/verdict"
	"holdfast/mqtt"
	"holdfast/mqtt/sitelink"
)

// The benchmarks run a task that takes no time, for the same request of four numbers:
// through a mosquitto on the loopback to the verdict, and called directly.

func BenchmarkLink_Verdict(b *testing.B) {
	m := startMosquitto(b)
	f := &tasks{forgets: true}
	o := sitelink.Options{Tasks: f, Rate: 1 << 20}
	o.Link.Broker = "tcp://" + m.Address()
	l := start(b, o, edge.Trigger{MQTT: "in", Model: "vector", Class: edge.Normal, Deadline: edge.Duration(time.Minute), Reply: "out"})
	l.await(b, isUp)
	heard := make(chan struct{}, 1<<12)
	session(b, mqtt.Options{Broker: "tcp://" + m.Address(), ClientID: "ear", Subscriptions: []string{"out"}, Inbox: 1 << 12, Handle: func(_ context.Context, d mqtt.Delivery) {
		d.Ack()
		heard <- struct{}{}
	}})
	mouth := session(b, mqtt.Options{Broker: "tcp://" + m.Address(), ClientID: "mouth"})
	message := mqtt.Message{Topic: "in", Payload: request("1")}
	places := make(chan struct{}, 16) // on their way at a time, below mosquitto's window
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			places <- struct{}{}
			if err := mouth.Send(b.Context(), message, func(error) {}); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	for range b.N {
		<-heard
		<-places
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "verdicts/s")
}

// BenchmarkTasks_Infer is the work alone: the request read, the task run, the verdict
// not even written.
func BenchmarkTasks_Infer(b *testing.B) {
	f, message, all := &tasks{forgets: true}, request("1"), catalogue()
	b.ReportAllocs()
	for range b.N {
		read, err := verdict.Read(message, "vector", all)
		if err != nil {
			b.Fatal(err)
		}
		f.Infer(b.Context(), edge.Task{Model: "vector", Arrived: time.Now(), Input: read.Payload})
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}
