package compose

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"holdfast/edge"
)

// port is one entry of ports.
type port struct {
	host, published, protocol string
	target                    uint32
	at                        *node
}

const portRemedy = "write NODE:INSTANCE such as 8080:80, or ADDRESS:NODE:INSTANCE"

// ports reads the short form, which compose-go takes apart, and the long one.
func (d decoder) ports() []port {
	list, _ := d.value("ports").([]any) // absent: none
	var ports []port
	for i, item := range list {
		at := d.at.at("ports").items[i]
		switch item := item.(type) {
		case string:
			ports = append(ports, d.shortPort(item, at)...)
		case map[string]any:
			ports = append(ports, d.longPort(item, at))
		default:
			d.add(at, "names no port of the node", portRemedy)
		}
	}
	return ports
}

// shortPort reads [ADDRESS:]NODE:INSTANCE[/PROTOCOL], where both may be ranges.
func (d decoder) shortPort(text string, at *node) []port {
	parsed, err := types.ParsePortConfig(text)
	if err != nil {
		d.add(at, quote(text)+" is no port", portRemedy)
		return nil
	}
	var ports []port
	for _, one := range parsed {
		ports = append(ports, port{one.HostIP, one.Published, one.Protocol, one.Target, at})
	}
	return ports
}

// longPort reads a mapping.
func (d decoder) longPort(values map[string]any, at *node) port {
	for _, key := range at.order {
		if !slices.Contains([]string{"target", "published", "host_ip", "protocol"}, key) {
			d.add(at.fields[key], "not honoured yet", "keep target, published, host_ip and protocol")
		}
	}
	p := port{at: at, protocol: "tcp"}
	for key, field := range map[string]*string{"host_ip": &p.host, "protocol": &p.protocol} {
		if given := at.at(key); given != nil {
			d.require(isText(given), given, "is "+kindOf(given), "write text")
			*field = given.text
		}
	}
	if published := at.at("published"); published != nil {
		d.require(isText(published) || published.tag == "!!int", published, "is "+kindOf(published), "write a port of the node")
		p.published = fmt.Sprint(values["published"])
	}
	target, _ := values["target"].(int) // a text is none that Compose would take
	d.require(target > 0 && target <= math.MaxUint16, at.near("target"), "is no port of the instance", "write a number such as 80")
	p.target = uint32(max(0, min(target, math.MaxUint16)))
	return p
}

// ports are where the node answers for the service.
func (s service) ports() []edge.Port {
	var ports []edge.Port
	for _, p := range s.config.Ports {
		given := edge.Port{Port: s.published(p), Target: int(p.target)}
		if p.host != "" {
			address := net.ParseIP(p.host)
			s.require(address != nil, p.at, quote(p.host)+" is no address of the node", "write one such as 192.0.2.10, or leave it out for the loopback")
			if given.Host = address.String(); given.Host == edge.Loopback {
				given.Host = ""
			}
		}
		s.require(p.protocol == "tcp", p.at, "not honoured yet: only TCP is published, not "+quote(p.protocol), "remove it")
		s.require(p.protocol != "tcp" || given.Port == 0 || !slices.ContainsFunc(ports, given.Meets), p.at, given.Address()+" stands here for the second time", "keep one")
		ports = append(ports, given)
	}
	s.require(len(ports) == 0 || s.config.NetworkMode != "host", s.at.near("network_mode"), "'network_mode: host' and 'ports' cannot be combined", "remove ports: the host's network has them already")
	edge.SortStable(ports, func(a, b edge.Port) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Host, b.Host))
	})
	return ports
}

// published is the one port of the node.
func (s service) published(p port) int {
	n, err := strconv.ParseUint(p.published, 10, 16)
	if err != nil || n == 0 {
		s.add(p.at, "names no port of the node", portRemedy)
	}
	return int(n)
}

// checkPorts finds services that want one port.
func (f *file) checkPorts(services []service, workloads []edge.Workload) {
	for i, w := range workloads {
		for _, port := range w.Ports {
			for _, other := range workloads[:i] {
				if slices.ContainsFunc(other.Ports, port.Meets) {
					f.add(services[i].at.near("ports"), edge.PortTaken(port, other), "publish one of them at another port")
				}
			}
		}
	}
}

// arePorts tells whether a list has what may be a port.
func arePorts(n *node) bool {
	return n.kind == yaml.SequenceNode && !slices.ContainsFunc(n.items, func(item *node) bool {
		return !isText(item) && item.tag != "!!int" && item.kind != yaml.MappingNode
	})
}
