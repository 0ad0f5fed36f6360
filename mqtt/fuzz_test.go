package mqtt_test

import (
	"bytes"
	"context"

	"net"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"holdfast/mqtt"
)

// tape is a connection on which a recording comes in, whatever is sent, and which
// ends with it.
type tape struct {
	mu       sync.Mutex
	recorded *bytes.Reader
}

func (c *tape) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recorded.Read(p)
}

func (c *tape) Write(p []byte) (int, error)      { return len(p), nil }
func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// FuzzSession plays any bytes to a session: nothing panics, every connection ends
// with a cause, and what is delivered is within the bounds.
func FuzzSession(f *testing.F) {
	welcome := []byte{connack, 2, 0, 0}
	f.Add([]byte{})
	f.Add(welcome)
	f.Add(append(bytes.Clone(welcome), message(0, "a/b", "payload", 7)...))
	f.Add(append(bytes.Clone(welcome), suback, 3, 0, 1, 1))
	f.Add(append(bytes.Clone(welcome), suback, 3, 0, 1, 1, publish, 3, 0, 1, 'a', puback, 2, 0, 2, pingresp, 0))
	f.Add(append(bytes.Clone(welcome), publish, 0xff, 0xff, 0xff, 0x7f))
	for _, h := range hostilities() {
		if h.when == connect {
			f.Add(h.send(packet{}))
		}
	}
	f.Fuzz(func(t *testing.T, recorded []byte) {
		const frame = 1 << 10
		o := mqtt.Options{
			Tuning: mqtt.Tuning{MaxFrame: frame}, Subscriptions: []string{"a/#"}, Inbox: 4,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return &tape{recorded: bytes.NewReader(recorded)}, nil
			},
			Random: func() float64 { return 0.999 },
			Handle: func(_ context.Context, d mqtt.Delivery) {
				if d.Topic == "" || len(d.Topic) > mqtt.MaxTopic || !utf8.ValidString(d.Topic) || len(d.Payload) > frame {
					t.Errorf("delivered %d bytes to %q", len(d.Payload), d.Topic)
				}
				d.Ack()
			},
		}
		s := start(t, o)
		got := s.await(t, isWaiting)
		if got.Failure.Cause == "" || got.Acknowledged != 0 {
			t.Errorf("state is %+v, want a cause", got)
		}
		s.stop()
	})
}
