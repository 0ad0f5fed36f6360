package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// Broker is one broker with everything it remembers.
type Broker struct {
	options Options
	server  *mochi.Server
	doors   []*door
	memory  *memory // nil: nothing outlives the process
	close   sync.Once
}

// New checks the options; Open binds.
func New(o Options) (*Broker, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.fill()
	return &Broker{options: o}, nil
}

// sysInterval is how often $SYS topics are written anew: nobody waits for them.
const sysInterval = 60

// Open binds the addresses. Clients that connect before Run wait.
func (b *Broker) Open() error {
	o := &b.options
	if err := b.checkUsers(); err != nil {
		return err
	}
	capabilities := mochi.NewDefaultServerCapabilities()
	capabilities.MaximumClients = int64(o.MaxConnections)
	capabilities.MaximumPacketSize = uint32(o.MaxPacket)
	capabilities.MaximumInflight = uint16(o.MaxQueue)
	capabilities.MaximumClientWritesPending = int32(o.MaxQueue)
	capabilities.MaximumSessionExpiryInterval = uint32(o.SessionLife / time.Second)
	capabilities.MaximumMessageExpiryInterval = 0 // anything else takes retained messages away after that time
	b.server = mochi.New(&mochi.Options{
		Capabilities:           capabilities,
		Logger:                 slog.New(slog.DiscardHandler), // a line for each disconnection; the gate logs what matters
		SysTopicResendInterval: sysInterval,
	})
	if err := b.server.AddHook(&gate{broker: b}, nil); err != nil {
		return fmt.Errorf("cannot prepare broker: %w", err)
	}
	if err := b.remember(); err != nil {
		return err
	}
	for i, l := range o.Listen {
		if err := b.listen(i, l); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	return nil
}

// checkUsers reads the password file once, though each connection reads it anew.
func (b *Broker) checkUsers() error {
	if b.options.Users == "" {
		return nil
	}
	users, err := checkUsers(b.options.Users)
	if err == nil && users == 0 {
		b.options.Log.Warn("password file names nobody yet", "file", b.options.Users)
	}
	return err
}

func (b *Broker) listen(i int, l Listener) error {
	if err := l.TLS.check(); err != nil {
		return err
	}
	plain, err := net.Listen("tcp", l.Address)
	if err != nil {
		return fmt.Errorf("cannot listen for MQTT on %q: %w", l.Address, err)
	}
	d := newDoor(plain, b.options.MaxConnections)
	b.doors = append(b.doors, d)
	var in net.Listener = d
	if l.TLS.Certificate != "" {
		in = tls.NewListener(d, l.TLS.config())
	}
	if err := b.server.AddListener(listeners.NewNet(fmt.Sprint(i), in)); err != nil {
		return fmt.Errorf("cannot listen for MQTT on %q: %w", l.Address, err)
	}
	return nil
}

// Addresses are where Open listens, in the order of Options.Listen.
func (b *Broker) Addresses() []net.Addr {
	var all []net.Addr
	for _, d := range b.doors {
		all = append(all, d.Addr())
	}
	return all
}

// Run serves until ctx ends, and returns after the last connection is closed. It may
// be called once after Open.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("cannot serve MQTT: %w", err)
	}
	<-ctx.Done()
	for _, d := range b.doors {
		d.shut() // also those who have not said who they are
	}
	err := b.server.Close()
	for _, d := range b.doors {
		d.wait()
	}
	return err
}

// Close gives the addresses, and the file, back when Run was not called.
func (b *Broker) Close() (err error) {
	b.close.Do(func() {
		for _, d := range b.doors {
			d.shut()
		}
		if b.memory != nil {
			err = b.memory.Stop()
		}
	})
	return err
}

// Counts is what the broker holds and has lost.
type Counts struct {
	Connections, Sessions, Retained, Subscriptions int64
	Received, Sent, Dropped                        int64 // messages; dropped for want of room
}

// Counts returns the figures of this moment.
func (b *Broker) Counts() Counts {
	info := b.server.Info.Clone()
	return Counts{
		Connections: info.ClientsConnected, Sessions: int64(b.server.Clients.Len()), Retained: info.Retained, Subscriptions: info.Subscriptions,
		Received: info.MessagesReceived, Sent: info.MessagesSent, Dropped: info.MessagesDropped + info.InflightDropped,
	}
}
