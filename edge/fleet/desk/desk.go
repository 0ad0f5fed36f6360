package desk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Options say which broker and which site.
type Options struct {
	Broker string // tcp://host:port or tls://host:port
	Site   string
	TLS    mqtt.TLS
	// Credentials are asked before each connection; nil is none.
	Credentials func() (user, password string, err error)
	// Quiet is how long nothing must come before what the broker remembers counts as
	// said, 400 ms; Patience bounds that waiting, 10 s.
	Quiet, Patience time.Duration
	// Dial opens the transport; nil is the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger // nil discards
}

// Desk is an operator's access to one site.
type Desk struct{ options Options }

// New checks the options. It touches nothing of the world.
func New(o Options) (*Desk, error) {
	if !edge.IsName(o.Site) {
		return nil, fmt.Errorf("cannot use site %.80q: it is no name: %w", o.Site, edge.ErrInvalid)
	}
	if o.Quiet <= 0 {
		o.Quiet = 400 * time.Millisecond
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Desk{options: o}
	if _, err := mqtt.New(d.session("check", nil)); err != nil {
		return nil, fmt.Errorf("cannot use options of the connection: %w", err)
	}
	return d, nil
}

// inbox holds what a broker without a window sends at once for some thousand nodes, and
// inboxBytes bounds it where those are large.
const (
	inbox      = 8192
	inboxBytes = 16 << 20
)

// session are the options of a connection under a name.
func (d *Desk) session(name string, filters []string) mqtt.Options {
	o := d.options
	return mqtt.Options{
		Broker: o.Broker, ClientID: name, Clean: true, TLS: o.TLS, Credentials: o.Credentials,
		Subscriptions: filters, Inbox: inbox, InboxBytes: inboxBytes, Dial: o.Dial,
		Tuning: mqtt.Tuning{MaxFrame: mqtt.PolicyFrame, Window: window},
		Log:    o.Log,
	}
}

// window keeps a link of any length busy with small messages.
const window = 128

// randomName is a client id nobody else has.
func randomName() string {
	var raw [8]byte
	rand.Read(raw[:]) // never fails
	return "desk-" + hex.EncodeToString(raw[:])
}

// Said is one message of the fleet as it came.
type Said struct {
	Topic    mqtt.Topic
	Payload  []byte
	Retained bool // from the broker's memory
	At       time.Time
}

// filters are the topics of one node, or of all of the site where node is empty.
func (d *Desk) filters(node string, kinds ...mqtt.Kind) []string {
	var all []string
	for _, kind := range kinds {
		if node == "" {
			all = append(all, mqtt.FleetFilter(d.options.Site, kind))
		} else {
			all = append(all, d.topic(node, kind))
		}
	}
	return all
}

func (d *Desk) topic(node string, kind mqtt.Kind) string {
	return mqtt.Topic{Site: d.options.Site, Node: node, Kind: kind}.String()
}
