package containerd

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// What is pure of networks and ports.

// RouteInto finds a route of the host's into a subnet.
func RouteInto(table string, subnet netip.Prefix, bridge string) (string, bool) {
	return routeInto(table, subnet, bridge)
}

// OutsideResolvers leaves out what only the host reaches.
func OutsideResolvers(text string) string { return outsideResolvers(text) }

// PortWords and PortsOf are the two ways of a label.
func PortWords(ports []edge.Port) string { return portWords(ports) }
func PortsOf(label string) []edge.Port   { return portsOf(label) }

// HeardOf takes an answer of the kernel's apart and counts its messages.
func HeardOf(raw []byte) (count int, err error) {
	_, err = heard(raw, func(_ uint16, body []byte) (bool, error) {
		count++
		attributesOf(body)
		return false, nil
	})
	return count, err
}

// Message is one message as it is sent, with an attribute.
func Message(kind uint16, value string) []byte { return message{kind, 0, text(1, value)}.encode(1) }

// RemoveBridge takes a bridge away.
func RemoveBridge(name string) error { return removeBridge(name) }

// TakeAddress takes its address back from a bridge.
func TakeAddress(bridge string, subnet netip.Prefix) error {
	return giveAddress(bridge, subnet, unix.RTM_DELADDR)
}
