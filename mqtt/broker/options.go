package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/edge"
)

// Options say where to listen, whom to let in, and how much of everything.
//
// What the library does not do, and a fleet must not count on: a message with QoS 1
// is lost to a client that is just coming back (between the taking over of its session
// and the answer to its CONNECT), or that published one with the same packet id while
// the other was not acknowledged. It has no window: what waits for a client comes at
// once. A holdfast fleet sends again whatever a node did not confirm; who needs
// more from a broker wants mosquitto.
type Options struct {
	Listen []Listener
	// Users is a password file as mosquitto_passwd writes it: user:$7$….
	Users string
	// Anonymous lets in everybody who gives no user name.
	Anonymous bool
	// Access says whether a client may publish to a topic (write), or receive from it.
	// Nil lets everybody who is in do everything.
	Access func(c Client, topic string, write bool) bool

	// Keep is a folder in which retained messages outlive the process, each flushed as it
	// comes; sessions and messages on their way do not. Empty keeps nothing.
	Keep string

	MaxConnections int           // at a time, 1,024
	MaxSessions    int           // remembered, connected or not, 4,096
	MaxPacket      int           // bytes, 128 KiB
	MaxQueue       int           // messages waiting for one client, 1,024
	MaxRetained    int           // messages, 16,384
	SessionLife    time.Duration // of one nobody is connected to, 7 days

	Log *slog.Logger // nil discards
}

// Listener is one address to listen on.
type Listener struct {
	Address string // host:port
	TLS     TLS
}

// TLS names the files of a listener; without a certificate it speaks plainly.
type TLS struct {
	Certificate, Key string
	// ClientCA signs the certificates of clients, who then need no password: the
	// common name says who they are. With it nobody comes in without one.
	ClientCA string
}

// Client is who asks.
type Client struct {
	ID         string // as it calls itself, unproven
	User       string // proven by a password, empty for anonymous
	CommonName string // proven by a certificate, else empty
}

func (o *Options) check() error {
	var problems []error
	if len(o.Listen) == 0 {
		problems = append(problems, errors.New("no address to listen on"))
	}
	proven := true
	for _, l := range o.Listen {
		if (l.TLS.Certificate == "") != (l.TLS.Key == "") || l.TLS.ClientCA != "" && l.TLS.Certificate == "" {
			problems = append(problems, fmt.Errorf("listener %q: certificate and key belong together, and an authority for clients needs both", l.Address))
		}
		proven = proven && l.TLS.ClientCA != ""
	}
	if o.Users == "" && !o.Anonymous && !proven {
		problems = append(problems, errors.New("nobody could connect: name a password file, an authority for client certificates, or allow anonymous clients"))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("cannot use options of broker: %w: %w", edge.ErrInvalid, err)
	}
	return nil
}

func (o *Options) fill() {
	for _, field := range []struct {
		of   *int
		then int
	}{
		{&o.MaxConnections, 1024}, {&o.MaxSessions, 4096}, {&o.MaxPacket, 128 << 10}, {&o.MaxQueue, 1024}, {&o.MaxRetained, 16384},
	} {
		if *field.of <= 0 {
			*field.of = field.then
		}
	}
	o.MaxQueue = min(o.MaxQueue, 1<<15) // packet ids have 16 bits
	if o.SessionLife <= 0 {
		o.SessionLife = 7 * 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}
