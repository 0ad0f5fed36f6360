package broker_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"holdfast/edge"
	"holdfast/mqtt/broker"
)

// TestBroker_Keep: what is retained outlives the process where it should, a message that
// was taken back does not, and without a folder nothing does.
func TestBroker_Keep(t *testing.T) {
	for name, c := range map[string]struct {
		keep string
		kept bool
	}{"Folder": {t.TempDir(), true}, "Memory": {"", false}} {
		t.Run(name, func(t *testing.T) {
			o := broker.Options{Listen: []broker.Listener{{Address: "127.0.0.1:0"}}, Anonymous: true, Keep: c.keep}
			once(t, o, func(host, port string) {
				for topic, text := range map[string]string{"a/kept": "policy", "a/gone": "old"} {
					if err := say(host, port, "-t", topic, "-r", "-m", text); err != nil {
						t.Fatal(err)
					}
				}
				if err := say(host, port, "-t", "a/gone", "-r", "-n"); err != nil {
					t.Fatal(err)
				}
			})
			once(t, o, func(host, port string) {
				if got, err := hear(host, port, "-t", "a/kept"); (err == nil) != c.kept || c.kept && got != "policy" {
					t.Errorf("after a restart %q is retained, %v; want the policy: %v", got, err, c.kept)
				}
				if got, err := hear(host, port, "-t", "a/gone"); err == nil {
					t.Errorf("after a restart %q is retained that was taken back", got)
				}
			})
		})
	}
}

// once runs a broker while a test uses it.
func once(t *testing.T, o broker.Options, use func(host, port string)) {
	t.Helper()
	b, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	host, port, _ := net.SplitHostPort(b.Addresses()[0].String())
	use(host, port)
	stop()
	if err := errors.Join(<-ended, b.Close()); err != nil {
		t.Errorf("broker ended with %v, want nil", err)
	}
}

func TestBroker_KeepTwice(t *testing.T) {
	o := broker.Options{Listen: []broker.Listener{{Address: "127.0.0.1:0"}}, Anonymous: true, Keep: t.TempDir()}
	first, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Open(); err != nil {
		t.Fatal(err)
	}
	second, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Open(); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("the second Open = %v, want %v", err, edge.ErrUnavailable)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.Open(), second.Close()); err != nil {
		t.Errorf("after the first has closed: %v, want nil", err)
	}
}
