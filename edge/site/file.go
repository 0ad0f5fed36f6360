package site

import (
	"net/netip"
	"time"
)

// File is what a site file asks for. Empty fields ask for nothing.
type File struct {
	Name   string // of the file itself
	Digest string // sha256:… of its bytes
	Node   Node
	Broker Broker
	Root   Document // the signed root document
	Policy Document // the signed policy in force until another one is
	// Network are the interfaces, in the order in which they are matched.
	Network []Interface
	Time    Time

	lines map[string]int // where each key stands
}

// Node is who the node is.
type Node struct {
	Name, Site, Role string
	Groups           []string
	Labels           []Label // in the order they stand
}

// Label is what the node is or where it stands.
type Label struct{ Name, Value string }

// Broker is how the fleet's broker is reached, and how the node proves who it is.
type Broker struct {
	URL, User, Password string
	// Token is the password of the user that bears the node's name.
	Token                string
	CA, Certificate, Key Document
}

// Document is a text that stands in the site file or in a file beside it.
type Document struct {
	Text   []byte
	Beside string // the name of that file; empty: it stands in the site file
}

// Given tells whether there is one.
func (d Document) Given() bool { return len(d.Text) > 0 }

// Interface is how an interface of the network is set up.
type Interface struct {
	Match   string // its name, with * and ?
	MAC     string
	DHCP    bool
	Address []netip.Prefix
	Gateway netip.Addr
	DNS     []netip.Addr
}

// Time is where the node has its time from.
type Time struct {
	Servers []string
	// Now is set where the clock is far behind it.
	Now time.Time
}

// Line says where a key stands, or the section around it; 0 where it does not.
func (f *File) Line(key string) int {
	for {
		if line, found := f.lines[key]; found {
			return line
		}
		end := len(key) - 1
		for end >= 0 && key[end] != '.' {
			end--
		}
		if end < 0 {
			return 0
		}
		key = key[:end]
	}
}

// Beside are the names of the files that the site file speaks of.
func (f *File) Beside() (names []string) {
	for _, d := range []Document{f.Broker.CA, f.Broker.Certificate, f.Broker.Key, f.Root, f.Policy} {
		if d.Beside != "" {
			names = append(names, d.Beside)
		}
	}
	return names
}
