package mqtt_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// These are the negative controls of hostile_test.go: the library alone, against the
// same lies. Should one of them begin to fail, the library has been mended, and the
// guard may be doing something for nothing.

// alone connects the library, without any of ours, to one connection of a broker.
func alone(script func(p *peer), alter func(*paho.ClientOptions)) (paho.Client, paho.Token) {
	o := paho.NewClientOptions().AddBroker("tcp://broker.test").SetClientID("n1").SetCleanSession(false).
		SetAutoReconnect(false).SetProtocolVersion(4).SetKeepAlive(0)
	b := &play{script: script}
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return b.dial(context.Background(), "", "") })
	if alter != nil {
		alter(o)
	}
	c := paho.NewClient(o)
	token := c.Connect()
	token.WaitTimeout(10 * time.Second)
	return c, token
}

// TestLibrary_SubackPanics runs the library in a process of its own, for it takes the
// process with it.
func TestLibrary_SubackPanics(t *testing.T) {
	const inside = "HOLDFAST_TEST_SUBACK"
	if os.Getenv(inside) != "" {
		c, _ := alone(func(p *peer) {
			p.serve(func(got packet) bool {
				if got.kind == subscribe {
					p.send(suback, 5, p0(got), p1(got), 1, 1, 1)
				}
				return got.kind == subscribe
			})
		}, nil)
		c.Subscribe("a", 1, nil).WaitTimeout(10 * time.Second)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestLibrary_SubackPanics$")
	child.Env = append(os.Environ(), inside+"=1")
	out, err := child.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "index out of range") {
		t.Errorf("the library survived three codes for one filter: %v\n%.2000s", err, out)
	}
}

func p0(got packet) byte { return byte(got.id() >> 8) }
func p1(got packet) byte { return byte(got.id()) }

func TestLibrary_GiantFrameIsAllocated(t *testing.T) {
	var before, after goruntime.MemStats
	goruntime.ReadMemStats(&before)
	_, token := alone(func(p *peer) {
		p.until(connect)
		p.send(connack, 0xff, 0xff, 0xff, 0x7f)
	}, nil)
	goruntime.ReadMemStats(&after)
	if token.Error() == nil || after.TotalAlloc-before.TotalAlloc < 200<<20 {
		t.Errorf("the library took %d bytes for a length (%v), was seen to take 256 MB", after.TotalAlloc-before.TotalAlloc, token.Error())
	}
}

func TestLibrary_UnknownConnackIsWelcome(t *testing.T) {
	c, token := alone(func(p *peer) {
		p.until(connect)
		p.send(connack, 2, 0, 6)
		p.until(goodbye)
	}, nil)
	defer c.Disconnect(1000)
	if token.Error() != nil {
		t.Errorf("the library refused the code 6: %v, was seen to take it for success", token.Error())
	}
}

// TestLibrary_TokenNeverCompletes: without reconnecting by itself, the library leaves
// who waits for an acknowledgement waiting for ever when the connection is lost.
func TestLibrary_TokenNeverCompletes(t *testing.T) {
	lost := make(chan struct{})
	c, _ := alone(func(p *peer) {
		p.serve(func(got packet) bool {
			if got.kind == publish {
				_ = p.Close()
			}
			return got.kind == publish
		})
	}, func(o *paho.ClientOptions) { o.SetConnectionLostHandler(func(paho.Client, error) { close(lost) }) })
	token := c.Publish("a", 1, false, "x")
	<-lost
	if token.WaitTimeout(50 * time.Millisecond) {
		t.Errorf("the token completed with %v, was seen not to", token.Error())
	}
}

// TestLibrary_TokenLies: when the library reconnects by itself, it tells who waits
// that all is well before anybody has acknowledged anything.
func TestLibrary_TokenLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := alone(func(p *peer) {
			p.serve(func(got packet) bool {
				if got.kind == publish && p.n == 1 {
					_ = p.Close()
				}
				return got.kind == publish // and nobody acknowledges it
			})
		}, func(o *paho.ClientOptions) { o.SetAutoReconnect(true) })
		token := c.Publish("a", 1, false, "x")
		if !token.WaitTimeout(time.Hour) || token.Error() != nil {
			t.Errorf("the token says %v, was seen to say that all is well", token.Error())
		}
		c.Disconnect(1000)
	})
}

// TestLibrary_SubackPassesForPuback: the store hears of any answer with the packet's
// id as of its acknowledgement.
func TestLibrary_SubackPassesForPuback(t *testing.T) {
	c, _ := alone(func(p *peer) {
		p.serve(func(got packet) bool {
			if got.kind == publish {
				p.send(suback, 3, p0(got), p1(got), 1)
			}
			return got.kind == publish
		})
	}, nil)
	defer c.Disconnect(1000)
	token := c.Publish("a", 1, false, "x")
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Errorf("the token did not complete (%v), was seen to take a SUBACK for a PUBACK", token.Error())
	}
}

// TestLibrary_HonestBroker shows that the peers speak MQTT at all: the library alone gets on
// with an honest one.
func TestLibrary_HonestBroker(t *testing.T) {
	c, token := alone(honest, nil)
	defer c.Disconnect(1000)
	if token.Error() != nil {
		t.Fatal(token.Error())
	}
	if done := c.Publish("a", 1, false, "x"); !done.WaitTimeout(10*time.Second) || done.Error() != nil {
		t.Errorf("publishing failed: %v", done.Error())
	}
}
