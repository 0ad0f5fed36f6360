package edge

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// Connected tells whether a workload is on any network.
func (w Workload) Connected() bool { return len(w.Networks)+len(w.Links) > 0 }

// LeadsOut tells whether one of its networks leads outside.
func (w Workload) LeadsOut(network string) bool { return slices.Contains(w.Outward, network) }

// checkNetworks looks at what networks a workload has.
func (w Workload) checkNetworks(c *checker, at string) {
	c.require(!w.Connected() || IsName(w.App), at+"app", nameRule)
	checkNames(c, w.Networks, at+"networks")
	checkNames(c, w.Outward, at+"outward")
	checkNames(c, w.Links, at+"links")
	for i, name := range w.Outward {
		c.require(slices.Contains(w.Networks, name), fmt.Sprintf("%soutward[%d]", at, i), quoteShort(name)+" is none of its networks")
	}
	all := len(w.Networks) + len(w.Links)
	c.require(all <= maxNetworks, at+"networks", fmt.Sprintf("%d are more than %d", all, maxNetworks))
	c.require(all == 0 || !w.Security.HostNetwork, at+"networks", "cannot be had beside the host's network")
	w.checkPorts(c, at)
}

// checkNames wants names, each once.
func checkNames(c *checker, names []string, at string) {
	for i, name := range names {
		here := fmt.Sprintf("%s[%d]", at, i)
		c.require(IsName(name), here, nameRule)
		c.require(!slices.Contains(names[:i], name), here, quoteShort(name)+" stands twice")
	}
}

// maxNetworks is as many interfaces as one instance may have.
const maxNetworks = 8

// checkNetworks finds what workloads say differently of one matter: where a network
// leads, and who has a port.
func (p *Policy) checkNetworks(c *checker) {
	p.checkPorts(c)
	type place struct{ app, network string }
	first := map[place]Workload{}
	for i, w := range p.Workloads {
		for j, name := range w.Networks {
			other, said := first[place{w.App, name}]
			if !said {
				first[place{w.App, name}] = w
				continue
			}
			c.require(other.LeadsOut(name) == w.LeadsOut(name), fmt.Sprintf("workloads[%d].networks[%d]", i, j),
				quoteShort(name)+" leads outside for one of "+other.Key()+" and "+w.Key()+", and not for the other")
		}
	}
}

// checkNetworks looks at what a policy lets workloads have of the network.
func (s SecurityPolicy) checkNetworks(c *checker) {
	for i, listed := range s.HostPorts {
		at, err := netip.ParseAddrPort(listed)
		c.require(err == nil && at.Port() > 0 && at.Addr().Zone() == "", fmt.Sprintf("security.hostPorts[%d]", i),
			quoteShort(listed)+" is not ADDRESS:PORT, such as 0.0.0.0:8080")
	}
	c.oneOf(string(s.Outward), "security.outward", string(Deny), string(Allow))
	for _, name := range sorted(s.Links) {
		at := "security.links." + name
		c.require(IsName(name), at, nameRule)
		checkNames(c, s.Links[name], at)
	}
}

// networks looks at where a workload is reached, and what it reaches.
func (a *admission) networks(w Workload) {
	may := a.policy.Security
	for i, port := range w.Ports {
		a.require(port.Local() || slices.ContainsFunc(may.HostPorts, port.Within), ControlHostPorts, fmt.Sprintf("ports[%d]", i),
			"a port at "+port.Address()+" of the node", "security.hostPorts: ["+strconv.Quote(port.Address())+"]")
	}
	for i, name := range w.Outward {
		a.require(may.Outward == Allow, ControlNetworks, fmt.Sprintf("outward[%d]", i),
			"network "+quoteShort(name)+", which leads outside,", "security.outward: allow")
	}
	for i, name := range w.Links {
		a.require(slices.Contains(may.Links[name], w.App), ControlNetworks, fmt.Sprintf("links[%d]", i),
			"network "+quoteShort(name)+", which apps share,", "security.links: {"+name+": ["+w.App+"]}")
	}
}
