package containerd

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// What is said to the kernel over netlink: a header, and below it attributes, each
// padded to four bytes.

// native32 is a number in the order of this machine, as netlink has its headers.
func native32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// network32 is a number in the order of the network, as most attributes have it.
func network32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// attribute is one attribute, or with nested payload a group of them.
func attribute(kind uint16, payload ...[]byte) []byte {
	const header = 4
	size := header
	for _, part := range payload {
		size += len(part)
	}
	raw := binary.NativeEndian.AppendUint16(nil, uint16(size))
	raw = binary.NativeEndian.AppendUint16(raw, kind)
	for _, part := range payload {
		raw = append(raw, part...)
	}
	return pad(raw)
}

// group is an attribute of attributes.
func group(kind uint16, attributes ...[]byte) []byte {
	return attribute(kind|unix.NLA_F_NESTED, attributes...)
}

// text is an attribute with a text, which the kernel wants to end in zero.
func text(kind uint16, value string) []byte { return attribute(kind, []byte(value), []byte{0}) }

func pad(raw []byte) []byte {
	for len(raw)%unix.NLMSG_ALIGNTO != 0 {
		raw = append(raw, 0)
	}
	return raw
}

// message is one message: what kind, how, and what it says.
type message struct {
	kind, flags uint16
	body        []byte
}

// encode numbers a message.
func (m message) encode(sequence uint32) []byte {
	raw := native32(uint32(unix.NLMSG_HDRLEN + len(m.body)))
	raw = binary.NativeEndian.AppendUint16(raw, m.kind)
	raw = binary.NativeEndian.AppendUint16(raw, m.flags|unix.NLM_F_REQUEST)
	raw = append(append(raw, native32(sequence)...), native32(0)...)
	return pad(append(raw, m.body...))
}

// converse sends messages as one and passes on what the kernel answers, until done says
// so or an error comes.
func converse(protocol int, messages []message, done func(kind uint16, body []byte) (bool, error)) error {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return fmt.Errorf("cannot speak with the kernel: %w", err)
	}
	defer unix.Close(socket)
	// The kernel answers at once; the bound is for a kernel that does not.
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return fmt.Errorf("cannot speak with the kernel: %w", err)
	}
	var all []byte
	for i, m := range messages {
		all = append(all, m.encode(uint32(i+1))...)
	}
	if err := unix.Sendto(socket, all, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("cannot speak with the kernel: %w", err)
	}
	buffer := make([]byte, 64<<10) // more than one answer of the kernel's takes
	for {
		n, _, err := unix.Recvfrom(socket, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("the kernel does not answer: %w", err)
		}
		if ended, err := heard(buffer[:n], done); ended || err != nil {
			return err
		}
	}
}

// heard takes one answer apart.
func heard(raw []byte, done func(kind uint16, body []byte) (bool, error)) (bool, error) {
	for len(raw) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(raw))
		if size < unix.NLMSG_HDRLEN || size > len(raw) {
			return true, errors.New("the kernel answers in part")
		}
		kind, body := binary.NativeEndian.Uint16(raw[4:]), raw[unix.NLMSG_HDRLEN:size]
		if kind == unix.NLMSG_ERROR && len(body) >= 4 {
			if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
				return true, unix.Errno(-code)
			}
		}
		if ended, err := done(kind, body); ended || err != nil {
			return true, err
		}
		raw = raw[min(len(raw), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return false, nil
}

// acknowledged returns a done that waits for so many acknowledgements.
func acknowledged(count int) func(kind uint16, body []byte) (bool, error) {
	return func(kind uint16, _ []byte) (bool, error) {
		if kind == unix.NLMSG_ERROR { // with the code 0
			count--
		}
		return count == 0, nil
	}
}

// attributesOf takes attributes apart; the last of a kind counts.
func attributesOf(raw []byte) map[uint16][]byte {
	found := map[uint16][]byte{}
	for len(raw) >= 4 {
		size := int(binary.NativeEndian.Uint16(raw))
		if size < 4 || size > len(raw) {
			break
		}
		found[binary.NativeEndian.Uint16(raw[2:])&^uint16(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = raw[4:size]
		raw = raw[min(len(raw), (size+3)&^3):]
	}
	return found
}
