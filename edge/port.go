package edge

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Loopback is where a published port answers that names no address of the node.
const Loopback = "127.0.0.1"

// Port is a TCP port of an instance that the node answers at.
type Port struct {
	Host   string `json:"host,omitempty"` // address of the node; empty: Loopback
	Port   int    `json:"port"`           // of the node
	Target int    `json:"target"`         // of the instance
}

// Address is where the node answers, as host:port.
func (p Port) Address() string {
	host := p.Host
	if host == "" {
		host = Loopback
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(p.Port)
}

// String shows both ends: 127.0.0.1:8080->80.
func (p Port) String() string { return fmt.Sprintf("%s->%d", p.Address(), p.Target) }

// address is where the node answers; false where it is no address.
func (p Port) address() (netip.Addr, bool) {
	if p.Host == "" {
		return netip.MustParseAddr(Loopback), true
	}
	host, err := netip.ParseAddr(p.Host)
	// One spelling each, since ports are known by it.
	return host, err == nil && host.String() == p.Host && host.Zone() == "" && !host.Is4In6() && !host.IsMulticast()
}

// Local tells whether only the node itself reaches the port.
func (p Port) Local() bool {
	host, ok := p.address()
	return ok && host.IsLoopback()
}

// Meets tells whether two ports cannot both be had: they are one, or one is at every
// address of the node's and the other at one of them.
func (p Port) Meets(other Port) bool {
	a, okA := p.address()
	b, okB := other.address()
	if !okA || !okB || p.Port != other.Port || a.Is4() != b.Is4() {
		return false
	}
	return a == b || a.IsUnspecified() || b.IsUnspecified()
}

// Within tells whether a line of a policy, ADDRESS:PORT, covers the port: its own
// address, or every one.
func (p Port) Within(listed string) bool {
	allowed, err := netip.ParseAddrPort(listed)
	host, ok := p.address()
	if err != nil || !ok || int(allowed.Port()) != p.Port {
		return false
	}
	at := allowed.Addr()
	return at == host || at.IsUnspecified() && at.Is4() == host.Is4()
}

func (p Port) check(c *checker, at string) {
	_, ok := p.address()
	c.require(ok, at+".host", quoteShort(p.Host)+" is no address of a node, such as 127.0.0.1 or 0.0.0.0")
	c.count(p.Port, 1, maxPort, at+".port")
	c.count(p.Target, 1, maxPort, at+".target")
}

// maxPort is the highest number of a port.
const maxPort = 65535

// maxPorts catches ranges that were not meant.
const maxPorts = 64

// checkPorts looks at where a workload is to answer.
func (w Workload) checkPorts(c *checker, at string) {
	for i, port := range w.Ports {
		here := fmt.Sprintf("%sports[%d]", at, i)
		port.check(c, here)
		for _, other := range w.Ports[:i] {
			c.require(!port.Meets(other), here, port.Address()+" stands twice")
		}
	}
	c.require(len(w.Ports) <= maxPorts, at+"ports", fmt.Sprintf("%d are more than %d", len(w.Ports), maxPorts))
	c.require(len(w.Ports) == 0 || !w.Security.HostNetwork, at+"ports", "cannot be published beside the host's network, which has them already")
}

// PortTaken names who has a port that another workload wants.
func PortTaken(port Port, by Workload) string {
	return port.Address() + " is published by " + by.Key() + " already"
}

// checkPorts finds ports that two workloads want.
func (p *Policy) checkPorts(c *checker) {
	for i, w := range p.Workloads {
		for j, port := range w.Ports {
			if other, taken := holderOf(port, p.Workloads[:i]); taken {
				c.require(false, fmt.Sprintf("workloads[%d].ports[%d]", i, j), PortTaken(port, other))
			}
		}
	}
}

func holderOf(port Port, among []Workload) (Workload, bool) {
	for _, other := range among {
		for _, theirs := range other.Ports {
			if port.Meets(theirs) {
				return other, true
			}
		}
	}
	return Workload{}, false
}
