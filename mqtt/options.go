package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"holdfast/edge/trust"
)

// The bounds of what goes over the wire.
const (
	// MaxTopic is the longest topic in bytes; the longest of ours is 206.
	MaxTopic = 256
	// DefaultFrame is the largest packet taken from a broker, and sent to one.
	DefaultFrame = 64 << 10
	// PolicyFrame is what a link needs that carries the largest signed policy.
	PolicyFrame = trust.MaxEnvelope + MaxTopic + frameHead
	// frameHead is type, length, length of the topic and packet id, at their longest.
	frameHead = 1 + 4 + 2 + 2
	// maxFrame keeps a slip of the pen from taking the node's memory.
	maxFrame = 1 << 20
	// maxWindow is far above what any link can use and far below the 65,535 packet ids.
	maxWindow = 1024
	// maxSubscriptions are a node's own two and those of 64 groups. They fit one
	// SUBSCRIBE well below DefaultFrame.
	maxSubscriptions = 66
)

// Tuning is what may change from one connection to the next, by policy. Zero values
// mean the defaults.
type Tuning struct {
	KeepAlive  time.Duration // silence after which we ask; whole seconds, 30 s
	BackoffCap time.Duration // longest wait between attempts, 60 s; a large fleet wants more
	Window     int           // messages on their way at a time, 32; 8 on a slow link
	MaxFrame   int           // bytes of the largest packet, DefaultFrame
}

// Options say where the broker is and what to do with what comes from it.
type Options struct {
	// Broker is tcp://host:port or tls://host:port (1883 and 8883 by default).
	Broker   string
	ClientID string // stable: the broker keeps the session by it
	Clean    bool   // the broker is to keep nothing: for who comes once, under a name of the moment
	TLS      TLS    // certificates for tls://
	// Credentials are asked before each connection, so that a changed file counts; nil
	// is none.
	Credentials func() (user, password string, err error)
	// ClockFloor is a time that has certainly passed; certificates are judged by the
	// later of it and the wall clock. Nil trusts the wall clock.
	ClockFloor func() time.Time

	Subscriptions []string // filters, each with QoS 1
	Unsubscribe   []string // filters of former days, given up before the others are asked for
	// Oversize hands over messages larger than MaxFrame without their payload, which is
	// read and thrown away. Otherwise they end the connection, which suits a link whose
	// senders know the limit; the broker would send such a one again for ever.
	Oversize bool
	// Handle takes one message after the other, from a goroutine of the session. It
	// must return soon, and at the latest when ctx ends, with the connection. What it
	// does not know it should acknowledge all the same: the broker may remember
	// subscriptions of former days.
	Handle func(ctx context.Context, d Delivery)
	// Will is asked before each connection for what the broker is to say when we
	// vanish; nil, or a nil message, is none.
	Will func() *Message
	// OnUp runs beside the connection once the subscriptions stand. Its context ends
	// with the connection. At an orderly end it ends before the connection does, so a
	// farewell may still be published. It must return soon after.
	OnUp func(ctx context.Context)
	// OnDown follows every OnUp, after everything in flight was settled. The failure
	// is nil at an orderly end.
	OnDown func(f *Failure)

	Tuning Tuning
	// Retune is asked before each connection; nil leaves Tuning as it is.
	Retune func() Tuning

	ConnectTimeout time.Duration // to dial, shake hands, connect and subscribe, each: 20 s
	WriteTimeout   time.Duration // for one packet to leave: 10 s
	PingTimeout    time.Duration // for an answer to our question after silence: 10 s
	AckTimeout     time.Duration // for the broker to acknowledge a message: 60 s
	Inbox          int           // messages waiting for Handle, 64; in bytes at most Inbox × MaxFrame,
	InboxBytes     int           // or this, when it is not 0: a message that finds the inbox empty always fits

	// Dial opens the transport below TLS; nil is the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Random is uniform in [0, 1); nil is a generator of its own.
	Random func() float64
	Log    *slog.Logger // nil discards
}

// check refuses options no broker could help with.
func (o *Options) check() error {
	var problems []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	_, err := parseBroker(o.Broker)
	require(err == nil, "%w", err)
	require(o.ClientID != "" && len(o.ClientID) <= MaxTopic, "client id %.40q: use 1 to %d bytes", o.ClientID, MaxTopic)
	require(len(o.Subscriptions) <= maxSubscriptions, "%d subscriptions, %d are allowed", len(o.Subscriptions), maxSubscriptions)
	seen := map[string]bool{}
	for _, filter := range o.Subscriptions {
		require(IsFilter(filter), "subscription %.40q: not a topic filter", filter)
		require(!seen[filter], "subscription %.40q: twice", filter)
		seen[filter] = true
	}
	for _, filter := range o.Unsubscribe {
		require(IsFilter(filter) && !seen[filter], "former subscription %.40q: not a topic filter, or one of the subscriptions", filter)
	}
	require(len(o.Unsubscribe) <= maxSubscriptions, "%d former subscriptions, %d are allowed", len(o.Unsubscribe), maxSubscriptions)
	require(len(o.Subscriptions) == 0 || o.Handle != nil, "subscriptions without a handler")
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("cannot use options of link: %w", err)
	}
	return nil
}

// fill puts defaults where nothing was said.
func (o *Options) fill() {
	for _, field := range []struct {
		of   *time.Duration
		then time.Duration
	}{
		{&o.ConnectTimeout, 20 * time.Second},
		{&o.WriteTimeout, 10 * time.Second},
		{&o.PingTimeout, 10 * time.Second},
		{&o.AckTimeout, time.Minute},
	} {
		if *field.of <= 0 {
			*field.of = field.then
		}
	}
	if o.Inbox <= 0 {
		o.Inbox = 64
	}
	if o.Handle == nil { // a session of former days may still have subscriptions
		o.Handle = func(_ context.Context, d Delivery) { d.Ack() }
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// tuned returns what holds for the next connection.
func (o *Options) tuned() Tuning {
	t := o.Tuning
	if o.Retune != nil {
		t = o.Retune()
	}
	return t.Filled()
}

// Filled puts defaults where nothing was said, and bounds the rest: a policy may ask
// for anything.
func (t Tuning) Filled() Tuning {
	if t.KeepAlive <= 0 {
		t.KeepAlive = 30 * time.Second
	}
	t.KeepAlive = min(max(t.KeepAlive.Truncate(time.Second), time.Second), 18*time.Hour) // 16 bits of seconds
	if t.BackoffCap <= 0 {
		t.BackoffCap = time.Minute
	}
	if t.Window <= 0 {
		t.Window = 32
	}
	t.Window = min(t.Window, maxWindow)
	if t.MaxFrame <= 0 {
		t.MaxFrame = DefaultFrame
	}
	t.MaxFrame = min(max(t.MaxFrame, 1<<10), maxFrame)
	return t
}
