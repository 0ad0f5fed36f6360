package config

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// derive fills in what follows from other settings or from the host.
func (l *loader) derive() {
	c := &l.loaded.Config
	if c.Node.Name == "" {
		l.hostName()
	}
	if c.API.Socket == "" {
		c.API.Socket = filepath.Join(c.Paths.Run, "holdfast.sock")
		l.loaded.origins[socketKey] = "default (from paths.run)"
	}
}

func (l *loader) hostName() {
	name, err := os.Hostname()
	if err != nil || !isName(name) {
		l.problem(Problem{
			Key: "node.name", Detail: "the host's name " + quote(name) + " cannot serve as the node's",
			Remedy: "set node.name",
		})
		return
	}
	l.loaded.Config.Node.Name = name
	l.loaded.origins["node.name"] = "default (host name)"
}

// groupLevel is the level that stands where a node's name does in topics of groups.
const groupLevel = "group"

// maxSocketPath is what sockaddr_un holds beside its closing zero.
const maxSocketPath = 107

// check holds settings against each other.
func (l *loader) check() {
	c := &l.loaded.Config
	for _, key := range []string{socketKey, "containerd.address"} {
		if path := l.byKey[key].get(c); len(path) > maxSocketPath {
			l.conflict(key, fmt.Sprintf("%s is longer than the %d bytes a socket path may have", quote(path), maxSocketPath), "set a shorter one")
		}
	}
	if c.API.MaxInFlight < c.API.MaxBody {
		l.conflict("api.maxInFlight", fmt.Sprintf("%v is less than api.maxBody (%v), so the largest body would never be let in", c.API.MaxInFlight, c.API.MaxBody), "raise it")
	}
	if c.Paths.State == c.Paths.Run {
		l.conflict("paths.run", "is the same folder as paths.state", "choose two folders: what is in one is lost at a power cut")
	}
	if c.Link.Address != "" && c.Node.Name == groupLevel {
		l.conflict("node.name", quote(c.Node.Name)+" stands for groups in the topics of a fleet", "choose another name")
	}
	for _, broker := range []struct {
		prefix string
		Broker
	}{{"link", c.Link.Broker}, {"site", c.Site}} {
		if (broker.Certificate == "") != (broker.Key == "") {
			l.conflict(broker.prefix+".key", "certificate and key go together", "set "+broker.prefix+".certificate and "+broker.prefix+".key, or neither")
		}
	}
	if host, _, err := net.SplitHostPort(c.API.Listen); err == nil && !loopback(host) {
		l.conflict("api.listen", quote(c.API.Listen)+" can be reached from other machines, and this API asks nobody who they are",
			"set an address of loopback such as 127.0.0.1:7433; what should be reachable needs a proxy that knows its callers")
	}
}

func (l *loader) conflict(key, detail, remedy string) {
	l.problem(Problem{Source: l.loaded.origin(key), Key: key, Detail: detail, Remedy: remedy})
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
