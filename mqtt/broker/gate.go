package broker

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"strconv"
	"strings"

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
	return bytes.IndexByte([]byte{mochi.OnConnect, mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish, mochi.OnWill}, question) >= 0
}

var errNoRoom = errors.New("no room for another session")

// OnConnect gives a client the session of its name, and keeps the number of remembered
// sessions within its bound.
func (g *gate) OnConnect(c *mochi.Client, _ packets.Packet) error {
	c.ID = identify(c).session()
	clients := g.broker.server.Clients
	if _, known := clients.Get(c.ID); !known && clients.Len() >= g.broker.options.MaxSessions {
		g.broker.options.Log.Warn("session refused for want of room", "client", identify(c).ID, "most", g.broker.options.MaxSessions)
		return errNoRoom
	}
	return nil
}

// OnConnectAuthenticate lets in who is proven by a certificate or a password, and the
// anonymous where they may, but nobody whose will says what it may not say itself.
func (g *gate) OnConnectAuthenticate(c *mochi.Client, packet packets.Packet) bool {
	who := identify(c)
	if !g.proven(who, packet) {
		g.broker.options.Log.Warn("client refused", "client", who.ID, "user", who.User, "remote", c.Net.Remote)
		return false
	}
	if will := packet.Connect; will.WillFlag && !g.mayLeave(c, will.WillTopic) {
		g.broker.options.Log.Warn("client refused for its will", "client", who.ID, "user", who.User, "name", who.CommonName, "topic", will.WillTopic, "remote", c.Net.Remote)
		// the library would say that the password is wrong; what is closed it leaves alone
		code := packets.ErrNotAuthorized
		if c.Properties.ProtocolVersion < 5 {
			code = packets.Err3NotAuthorized
		}
		_ = g.broker.server.SendConnack(c, code, false, nil)
		c.Stop(packets.ErrNotAuthorized)
		return false
	}
	return true
}

// mayLeave holds a will against what a publish is held against: the library does so for
// its size and QoS only, and publishes it unasked.
func (g *gate) mayLeave(c *mochi.Client, topic string) bool {
	return topic != "" && mochi.IsValidFilter(topic, true) && g.OnACLCheck(c, topic, true)
}

func (g *gate) proven(who Client, packet packets.Packet) bool {
	o := &g.broker.options
	switch {
	case who.CommonName != "":
		return true
	case who.User == "":
		return o.Anonymous
	case o.Users == "":
		return false
	}
	proven, err := checkPassword(o.Users, who.User, string(packet.Connect.Password))
	if err != nil {
		o.Log.Error("passwords cannot be read", "err", err)
	}
	return proven
}

// OnACLCheck asks Access.
func (g *gate) OnACLCheck(c *mochi.Client, topic string, write bool) bool {
	access := g.broker.options.Access
	return access == nil || access(identify(c), topic, write)
}

// OnPublish keeps the number of retained messages within its bound: what is beyond
// it is passed on and not retained.
func (g *gate) OnPublish(_ *mochi.Client, packet packets.Packet) (packets.Packet, error) {
	if packet.FixedHeader.Retain && len(packet.Payload) > 0 {
		packet.FixedHeader.Retain = g.mayRetain(packet.TopicName)
	}
	return packet, nil
}

// OnWill is OnPublish of what a client leaves behind.
func (g *gate) OnWill(_ *mochi.Client, will mochi.Will) (mochi.Will, error) {
	will.Retain = will.Retain && g.mayRetain(will.TopicName)
	return will, nil
}

func (g *gate) mayRetain(topic string) bool {
	retained := g.broker.server.Topics.Retained
	if _, known := retained.Get(topic); known || retained.Len() < g.broker.options.MaxRetained {
		return true
	}
	g.broker.options.Log.Warn("message not retained for want of room", "topic", topic, "most", g.broker.options.MaxRetained)
	return false
}

// identify says who a client is. A user name proves something only because nobody
// comes in with one and a wrong password; beside a certificate nobody has looked at it.
func identify(c *mochi.Client) Client {
	who := Client{User: string(c.Properties.Username)}
	if secured, ok := c.Net.Conn.(*tls.Conn); ok {
		if chain := secured.ConnectionState().VerifiedChains; len(chain) > 0 {
			who.User, who.CommonName = "", chain[0][0].Subject.CommonName
		}
	}
	who.ID = who.own(c.ID)
	return who
}

// session is the name under which the library keeps a client's session. An id is worth no
// more than the name that was proven: two names with the same id have two sessions, so
// that nobody takes over another's, nor is there before it. The length comes first, so
// that no other name and id come to the same.
func (c Client) session() string {
	name := c.name()
	return strconv.Itoa(len(name)) + ":" + name + ":" + c.ID
}

// own is the id in the name of a session of the client, or what it is where there is none
// yet.
func (c Client) own(session string) string {
	name := c.name()
	rest, long := strings.CutPrefix(session, strconv.Itoa(len(name))+":")
	rest, named := strings.CutPrefix(rest, name)
	id, ended := strings.CutPrefix(rest, ":")
	if !long || !named || !ended {
		return session
	}
	return id
}

func (c Client) name() string { return cmp.Or(c.CommonName, c.User) }
