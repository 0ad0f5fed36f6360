package broker

import (
	"bytes"
	"crypto/tls"
	"errors"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// gate is where the library asks: who may come in, who may say what, and whether
// there is room.
type gate struct {
	mochi.HookBase
	broker *Broker
}

// ID names the gate in the library.
func (g *gate) ID() string { return "gate" }

// Provides lists what the library asks the gate.
func (g *gate) Provides(question byte) bool {
	return bytes.IndexByte([]byte{mochi.OnConnect, mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish}, question) >= 0
}

var errNoRoom = errors.New("no room for another session")

// OnConnect keeps the number of remembered sessions within its bound.
func (g *gate) OnConnect(c *mochi.Client, _ packets.Packet) error {
	clients := g.broker.server.Clients
	if _, known := clients.Get(c.ID); !known && clients.Len() >= g.broker.options.MaxSessions {
		g.broker.options.Log.Warn("session refused for want of room", "client", c.ID, "most", g.broker.options.MaxSessions)
		return errNoRoom
	}
	return nil
}

// OnConnectAuthenticate lets in who is proven by a certificate or a password, and the
// anonymous where they may.
func (g *gate) OnConnectAuthenticate(c *mochi.Client, packet packets.Packet) bool {
	o := &g.broker.options
	who := identify(c)
	switch {
	case who.CommonName != "":
		return true
	case who.User == "":
		if o.Anonymous {
			return true
		}
	case o.Users != "":
		proven, err := checkPassword(o.Users, who.User, string(packet.Connect.Password))
		if err != nil {
			o.Log.Error("passwords cannot be read", "err", err)
		}
		if proven {
			return true
		}
	}
	o.Log.Warn("client refused", "client", c.ID, "user", who.User, "remote", c.Net.Remote)
	return false
}

// OnACLCheck asks Access.
func (g *gate) OnACLCheck(c *mochi.Client, topic string, write bool) bool {
	access := g.broker.options.Access
	return access == nil || access(identify(c), topic, write)
}

// OnPublish keeps the number of retained messages within its bound: what is beyond
// it is passed on and not retained.
func (g *gate) OnPublish(_ *mochi.Client, packet packets.Packet) (packets.Packet, error) {
	if !packet.FixedHeader.Retain || len(packet.Payload) == 0 {
		return packet, nil
	}
	retained := g.broker.server.Topics.Retained
	if _, known := retained.Get(packet.TopicName); !known && retained.Len() >= g.broker.options.MaxRetained {
		g.broker.options.Log.Warn("message not retained for want of room", "topic", packet.TopicName, "most", g.broker.options.MaxRetained)
		packet.FixedHeader.Retain = false
	}
	return packet, nil
}

// identify says who a client is. A user name proves something only because nobody
// comes in with one and a wrong password; beside a certificate nobody has looked at it.
func identify(c *mochi.Client) Client {
	who := Client{ID: c.ID, User: string(c.Properties.Username)}
	if secured, ok := c.Net.Conn.(*tls.Conn); ok {
		if chain := secured.ConnectionState().VerifiedChains; len(chain) > 0 {
			who.User, who.CommonName = "", chain[0][0].Subject.CommonName
		}
	}
	return who
}
