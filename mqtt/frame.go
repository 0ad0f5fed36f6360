package mqtt

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// The packets of MQTT 3.1.1 the link knows, by the upper half of their first byte.
const (
	kindConnack   = 2
	kindPublish   = 3
	kindPuback    = 4
	kindSubscribe = 8
	kindSuback    = 9
	kindUnsub     = 10
	kindUnsuback  = 11
	kindPingresp  = 13

	kindDisconnect = 14
)

// frame is the head of a packet as it stands on the wire.
type frame struct {
	head   []byte // the bytes read of it so far
	kind   byte
	flags  byte
	length int // of what follows the fixed header
}

// maxLengthBytes carry 28 bits, 256 MB; a fifth is forbidden.
const maxLengthBytes = 4

// readFrame reads a fixed header into buf. It takes nothing of what follows, so a
// length is known before anything is done about it.
func readFrame(in *bufio.Reader, buf []byte) (frame, error) {
	first, err := in.ReadByte()
	if err != nil {
		return frame{}, err
	}
	f := frame{head: append(buf[:0], first), kind: first >> 4, flags: first & 0x0f}
	for i := range maxLengthBytes {
		digit, err := in.ReadByte()
		if err != nil {
			return frame{}, cutOff(err)
		}
		f.head = append(f.head, digit)
		f.length |= int(digit&0x7f) << (7 * i)
		if digit&0x80 == 0 {
			return f, nil
		}
	}
	return frame{}, failure(Protocol, "broker sent a length of more than %d bytes", maxLengthBytes)
}

// more reads n of the bytes that follow.
func (f *frame) more(in *bufio.Reader, n int) ([]byte, error) {
	at := len(f.head)
	f.head = append(f.head, make([]byte, n)...)
	if _, err := io.ReadFull(in, f.head[at:]); err != nil {
		return nil, cutOff(err)
	}
	return f.head[at:], nil
}

// cutOff tells an end inside a packet from one between packets.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// publish looks at the topic of a PUBLISH and returns how much payload follows.
func (f *frame) publish(in *bufio.Reader) (rest int, err error) {
	qos := f.flags >> 1 & 3
	if qos > 1 {
		return 0, failure(Protocol, "broker sent a message with QoS %d, we asked for 1 at most", qos)
	}
	if f.length < 2 {
		return 0, failure(Protocol, "broker sent a message of %d bytes", f.length)
	}
	size, err := f.more(in, 2)
	if err != nil {
		return 0, err
	}
	topic := int(binary.BigEndian.Uint16(size))
	head := 2 + topic + 2*int(qos)
	if topic > MaxTopic || head > f.length {
		return 0, failure(Protocol, "broker sent a message whose topic has %d bytes", topic)
	}
	name, err := f.more(in, head-2)
	if err != nil {
		return 0, err
	}
	if !isTopic(string(name[:topic])) {
		return 0, failure(Protocol, "broker sent a message to %.40q, which is no topic", name[:topic])
	}
	if qos == 1 && binary.BigEndian.Uint16(name[topic:]) == 0 {
		return 0, failure(Protocol, "broker sent a message with packet id 0")
	}
	return f.length - head, nil
}

// withoutPayload makes a PUBLISH, whose head was read up to its payload, one that has
// none.
func (f *frame) withoutPayload() {
	fixed := 2
	for f.head[fixed-1]&0x80 != 0 {
		fixed++
	}
	rest := f.head[fixed:]
	f.head = append(binary.AppendUvarint(f.head[:1:1], uint64(len(rest))), rest...)
}

// written is what the guard must know of a packet of ours: its kind, its packet id
// if it waits for an answer, and the filters of a SUBSCRIBE.
type written struct {
	kind    byte
	id      uint16
	filters []string
}

// inspect reads that from a whole packet, which our own client wrote.
func inspect(packet []byte) (w written) {
	if len(packet) < 2 {
		return w
	}
	w.kind = packet[0] >> 4
	body := packet[1:]
	for len(body) > 0 && body[0]&0x80 != 0 {
		body = body[1:]
	}
	body = body[min(1, len(body)):]
	switch {
	case w.kind == kindPublish && packet[0]>>1&3 > 0:
		if _, after, ok := field(body); ok && len(after) >= 2 {
			w.id = binary.BigEndian.Uint16(after)
		}
	case w.kind == kindUnsub && len(body) >= 2:
		w.id = binary.BigEndian.Uint16(body)
	case w.kind == kindSubscribe && len(body) >= 2:
		w.id = binary.BigEndian.Uint16(body)
		for name, after, ok := field(body[2:]); ok && len(after) > 0; name, after, ok = field(after[1:]) {
			w.filters = append(w.filters, string(name))
		}
	}
	return w
}

// field splits off a text with its length before it.
func field(body []byte) (text, after []byte, ok bool) {
	if len(body) < 2 {
		return nil, nil, false
	}
	size := int(binary.BigEndian.Uint16(body))
	if len(body) < 2+size {
		return nil, nil, false
	}
	return body[2 : 2+size], body[2+size:], true
}
