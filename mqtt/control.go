package mqtt

import "encoding/binary"

// Codes a broker answers with.
const (
	lastConnackCode = 5 // not authorized; the library takes unknown codes for success
	granted         = 1 // the QoS we ask for
	downgraded      = 0
	refused         = 0x80
)

// control judges a packet that is no message, and says whether to pass it on. Each
// refusal keeps the library from something it was seen to do with such a packet.
func (g *guard) control(f *frame) (pass bool, err error) {
	if f.flags != 0 {
		return false, failure(Protocol, "broker sent a packet of kind %d with flags %#x", f.kind, f.flags)
	}
	switch {
	case !g.greeted && f.kind != kindConnack, g.greeted && f.kind == kindConnack:
		return false, failure(Protocol, "broker sent a packet of kind %d out of turn", f.kind)
	case f.kind == kindConnack:
		return g.connack(f)
	case f.kind == kindPuback:
		return g.puback(f)
	case f.kind == kindSuback:
		return g.suback(f)
	case f.kind == kindUnsuback:
		return g.unsuback(f)
	case f.kind == kindPingresp && f.length == 0:
		return true, nil
	case f.kind == kindDisconnect: // MQTT 5 has it; some brokers send it to everybody
		return false, failure(Lost, "broker ended the connection")
	}
	return false, failure(Protocol, "broker sent a packet of kind %d and %d bytes", f.kind, f.length)
}

func (g *guard) connack(f *frame) (bool, error) {
	if f.length != 2 {
		return false, failure(Protocol, "broker answered CONNECT with %d bytes", f.length)
	}
	body, err := f.more(g.in, 2)
	if err != nil {
		return false, err
	}
	if body[0] > 1 || body[1] > lastConnackCode {
		return false, failure(Protocol, "broker answered CONNECT with code %d", body[1])
	}
	g.greeted = true
	return true, nil
}

// puback passes only what acknowledges a message that left on this connection. Any
// other is ignored and counted: it acknowledges nothing.
func (g *guard) puback(f *frame) (bool, error) {
	if f.length != 2 {
		return false, failure(Protocol, "broker acknowledged with %d bytes", f.length)
	}
	body, err := f.more(g.in, 2)
	if err != nil {
		return false, err
	}
	return g.ledger.awaits(binary.BigEndian.Uint16(body)), nil
}

// suback demands one code for each filter. More make the library index past the end
// of a slice, and one with the id of a message would pass for its acknowledgement.
func (g *guard) suback(f *frame) (bool, error) {
	g.answers.Lock()
	awaited := g.awaited
	g.awaited = written{}
	g.answers.Unlock()
	if awaited.kind != kindSubscribe || f.length != 2+len(awaited.filters) {
		return false, failure(Protocol, "broker answered %d subscriptions with %d bytes", len(awaited.filters), f.length)
	}
	body, err := f.more(g.in, f.length)
	if err != nil {
		return false, err
	}
	if id := binary.BigEndian.Uint16(body); id != awaited.id {
		return false, failure(Protocol, "broker answered subscription %d, which nobody sent", id)
	}
	for i, code := range body[2:] {
		switch code {
		case granted:
		case refused:
			return false, failure(Refused, "broker refuses subscription to %q", awaited.filters[i])
		case downgraded: // nothing would ever come again
			return false, failure(Refused, "broker grants subscription to %q without acknowledgements only", awaited.filters[i])
		default:
			return false, failure(Protocol, "broker answered a subscription with code %d", code)
		}
	}
	return true, nil
}

// unsuback passes the answer to our UNSUBSCRIBE only: any other could bear the id of a
// message and pass for its acknowledgement.
func (g *guard) unsuback(f *frame) (bool, error) {
	g.answers.Lock()
	awaited := g.awaited
	g.awaited = written{}
	g.answers.Unlock()
	if awaited.kind != kindUnsub || f.length != 2 {
		return false, failure(Protocol, "broker answered an unsubscription with %d bytes, or nobody asked", f.length)
	}
	body, err := f.more(g.in, 2)
	if err != nil {
		return false, err
	}
	if id := binary.BigEndian.Uint16(body); id != awaited.id {
		return false, failure(Protocol, "broker answered unsubscription %d, which nobody sent", id)
	}
	return true, nil
}
