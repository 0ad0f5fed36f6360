package mqtt_test

import (
	"context"
	"testing"

	"holdfast/mqtt/broker"
)

// embedded runs our own broker in this process.
type embedded struct {
	options broker.Options
	at      string   // the first listener
	all     []string // and the others
	stop    func()
}

func startEmbedded(tb testing.TB, o broker.Options) *embedded {
	tb.Helper()
	if len(o.Listen) == 0 {
		o.Listen = []broker.Listener{{Address: "127.0.0.1:0"}}
	}
	o.Anonymous = o.Anonymous || o.Users == "" && o.Listen[0].TLS.ClientCA == ""
	o.MaxQueue = 1 << 15
	e := &embedded{options: o}
	e.run(tb)
	tb.Cleanup(func() { e.stop() })
	return e
}

func (e *embedded) run(tb testing.TB) {
	tb.Helper()
	b, err := broker.New(e.options)
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.Open(); err != nil {
		tb.Fatal(err)
	}
	e.all = nil
	for i, address := range b.Addresses() {
		e.all = append(e.all, address.String())
		e.options.Listen[i].Address = e.all[i] // a restart keeps it
	}
	e.at = e.all[0]
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	e.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("broker ended with %v, want nil", err)
		}
		ended <- nil
	}
}

func (e *embedded) address() string { return e.at }

func (e *embedded) restart(tb testing.TB) {
	e.stop()
	e.run(tb)
}

var _, _ server = (*embedded)(nil), mosquittoServer{}
