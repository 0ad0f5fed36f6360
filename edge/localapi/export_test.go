package localapi

import (
	"bytes"
	"net"
	"time"

	"holdfast/edge"
)

// OpenOn has the server answer on a listener of the test's, as it does on the port.
func (s *Server) OpenOn(l net.Listener) { s.add(l, guard(s.handler(false))) }

// Messages hands each what Client.Live makes of a text.
func Messages(text []byte, each func(kind string, data []byte) error) (stopped bool, err error) {
	return messages(bytes.NewReader(text), each)
}

// EndureSilence has the client give a live stream up that says nothing for so long.
func (c *Client) EndureSilence(d time.Duration) { c.silence = d }

// Frame is how messages travel: events, and a status with that name.
func Frame(status edge.Status, events []edge.Event) []byte {
	var f frame
	f.add("status", status)
	f.alive()
	f.addEvents(events)
	return f
}

// Token is what the client sends.
func (c *Client) Token() string { return c.token }
