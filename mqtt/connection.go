package mqtt

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Waits that nobody needs to configure.
const (
	// farewell is how long OnUp may still publish at an orderly end.
	farewell = 2 * time.Second
	// goodbye is how long the broker may take to close after our DISCONNECT.
	goodbye = time.Second
	// never is for the library's own watch over silence: the guard keeps it.
	never = 100 * 365 * 24 * time.Hour
	// slack lets the guard judge a slow write before the library gives up on it.
	slack = 5 * time.Second
)

// connection is one connection's life, and a client of the library's made for it
// alone.
type connection struct {
	session *Session
	tuning  Tuning
	guard   *guard
	ledger  *ledger
	client  paho.Client
	leaf    *x509.Certificate
	resumed bool

	lining sync.Mutex
	line   chan *entry   // taken, not yet with the library; as long as the window
	inbox  chan Delivery // bounds what waits for Handle
	unread atomic.Int64  // bytes of payload in it
	missed atomic.Bool   // the inbox was full once
	ending chan struct{} // closed when nothing more is sent
	gone   chan struct{} // closed when the library has ended
}

// open dials, shakes hands and connects. Its errors are failures.
func (s *Session) open(ctx context.Context) (*connection, error) {
	tuning := s.options.tuned()
	l, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &connection{
		session: s, tuning: tuning, leaf: l.leaf,
		ledger: newLedger(tuning.Window, func() { s.counts.strayed.Add(1) }),
		line:   make(chan *entry, tuning.Window), inbox: make(chan Delivery, s.options.Inbox),
		ending: make(chan struct{}), gone: make(chan struct{}),
	}
	c.guard = newGuard(l, l.raw, c.ledger, c.limits())
	defer context.AfterFunc(ctx, func() { c.guard.fail(ctx.Err()) })()
	if err := c.connect(); err != nil {
		return nil, err
	}
	return c, nil
}

// limits derives the guard's bounds. Silence is told from a quiet broker by a ping
// of the library's, which looks at its clock every 5 s, or 4 times in KeepAlive when
// that is short.
func (c *connection) limits() limits {
	o := &c.session.options
	look := min(5*time.Second, c.tuning.KeepAlive/4)
	if c.tuning.KeepAlive > 10*time.Second {
		look = 5 * time.Second
	}
	return limits{
		frame: c.tuning.MaxFrame, skim: o.Oversize, greet: o.ConnectTimeout, write: o.WriteTimeout,
		silence: c.tuning.KeepAlive + look + o.PingTimeout,
	}
}

// connect sends CONNECT and waits for its answer.
func (c *connection) connect() error {
	options, err := c.clientOptions()
	if err != nil {
		_ = c.guard.Close() // never fails
		return &Failure{Unprepared, err}
	}
	c.client = paho.NewClient(options)
	token := c.client.Connect().(*paho.ConnectToken) //nolint:errcheck // what Connect gives is one
	select {
	case <-token.Done():
	case <-c.guard.failed:
		c.guard.release()
		<-token.Done()
	}
	if err := token.Error(); err != nil {
		_ = c.guard.Close()
		return c.refusal(token.ReturnCode())
	}
	c.resumed = token.SessionPresent()
	return nil
}

// refusal explains why CONNECT came to nothing.
func (c *connection) refusal(code byte) *Failure {
	switch code {
	case packets.ErrRefusedBadProtocolVersion, packets.ErrRefusedIDRejected, packets.ErrRefusedBadUsernameOrPassword, packets.ErrRefusedNotAuthorised:
		return failure(Refused, "broker refuses: %w", packets.ConnErrors[code])
	case packets.ErrRefusedServerUnavailable:
		return failure(Unreachable, "broker refuses: %w", packets.ConnErrors[code])
	}
	now := later(c.session.options.ClockFloor)()
	return c.reason(dated(c.leaf, now, Unreachable)) // a broker may hang up without saying why
}

// reason explains the end of the connection, which has come.
func (c *connection) reason(otherwise Cause) *Failure {
	err := c.guard.err
	if errors.Is(err, io.EOF) {
		err = errors.New("broker closed the connection")
	}
	return explain(err, c.leaf, later(c.session.options.ClockFloor)(), otherwise)
}

// clientOptions switch off whatever the library would do by itself.
func (c *connection) clientOptions() (*paho.ClientOptions, error) {
	o := &c.session.options
	p := paho.NewClientOptions().
		AddBroker("tcp://" + c.session.broker.address()). // a name only: the connection is there
		SetCustomOpenConnectionFn(c.handOver).
		SetClientID(o.ClientID).SetCleanSession(o.Clean).SetProtocolVersion(4).
		SetAutoReconnect(false).SetConnectRetry(false).SetResumeSubs(false).
		SetAutoAckDisabled(true).SetOrderMatters(true).SetStore(c.ledger).
		SetConnectTimeout(o.ConnectTimeout).SetWriteTimeout(o.WriteTimeout + slack).
		SetKeepAlive(c.tuning.KeepAlive).SetPingTimeout(never).
		SetDefaultPublishHandler(c.arrived).
		SetConnectionLostHandler(func(paho.Client, error) { close(c.gone) })
	if o.Credentials != nil {
		user, password, err := o.Credentials()
		if err != nil {
			return nil, fmt.Errorf("cannot read credentials: %w", err)
		}
		p.SetUsername(user).SetPassword(password)
	}
	if o.Will != nil {
		if will := o.Will(); will != nil {
			if err := will.check(c.tuning.MaxFrame); err != nil {
				return nil, fmt.Errorf("cannot leave a will: %w", err)
			}
			p.SetBinaryWill(will.Topic, will.Payload, 1, will.Retained)
		}
	}
	return p, nil
}
