package site

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"strings"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// check holds what stands in the file against itself. What the configuration's own
// checker looks at is left to it.
func (r *reader) check() {
	r.checkBroker()
	r.checkCertificates()
	r.checkTrust()
	for _, server := range r.file.Time.Servers {
		if !isHost(server) {
			r.wrongAt("time.servers", quote(server)+" is not the name or address of a machine", "write it as ntp.example.com or 192.168.1.1")
		}
	}
}

func (r *reader) checkBroker() {
	b, empty := r.file.Broker, Broker{}
	if b.URL == "" && (b.User != empty.User || b.Password != "" || b.Token != "" || b.CA.Given() || b.Certificate.Given()) {
		r.wrongAt("broker.url", "is missing", "write it as tls://broker.example:8883")
	}
	switch {
	case b.Token != "" && (b.User != "" || b.Password != ""):
		r.wrongAt("broker.token", "stands beside a user or a password", "write the token alone, or user and password")
	case b.Token != "" && r.file.Node.Name == "":
		r.wrongAt("broker.token", "needs node.name: with a token the node's name is its user at the broker", "write node: and below it name: ...")
	case b.Password != "" && b.User == "":
		r.wrongAt("broker.password", "stands without a user", "write broker.user too")
	}
	if (b.Password != "" || b.Token != "") && (strings.HasPrefix(b.URL, "tcp:") || strings.HasPrefix(b.URL, "mqtt:")) && b.CA.Given() {
		r.wrongAt("broker.url", "is not encrypted, though broker.ca is given", "write it as tls://...")
	}
}

func (r *reader) checkCertificates() {
	b := r.file.Broker
	if b.CA.Given() {
		if err := certificatesAlone(b.CA.Text); err != nil {
			r.wrongAt("broker.ca", err.Error(), "give the PEM text that begins with -----BEGIN CERTIFICATE-----")
		}
	}
	if b.Certificate.Given() {
		if err := certificatesAlone(b.Certificate.Text); err != nil { // others may read it, and it stays where it lies
			r.wrongAt("broker.certificate", err.Error(), "give the certificates alone, as PEM, and the key as broker.key")
			return
		}
	}
	switch {
	case b.Certificate.Given() != b.Key.Given():
		r.wrongAt("broker.certificate", "certificate and key go together", "give broker.certificate and broker.key, or neither")
	case b.Certificate.Given():
		if _, err := tls.X509KeyPair(b.Certificate.Text, b.Key.Text); err != nil {
			r.wrongAt("broker.certificate", "certificate and key do not fit or cannot be read: "+strings.TrimPrefix(err.Error(), "tls: "),
				"give both as PEM, the key without a passphrase")
		}
	}
}

// certificatesAlone wants nothing else in a bundle, a key least of all, be it as it may.
func certificatesAlone(text []byte) error {
	if bytes.Contains(text, []byte("PRIVATE KEY-----")) {
		return fmt.Errorf("holds a private key")
	}
	count := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("holds a %s", strings.ToLower(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("holds a certificate that cannot be read")
		}
		count++
	}
	if count == 0 {
		return fmt.Errorf("holds no certificate")
	}
	return nil
}

// checkTrust looks whether the node would believe the documents.
func (r *reader) checkTrust() {
	if !r.file.Root.Given() {
		if r.file.Policy.Given() {
			r.wrongAt("policy", "stands without a root document", "give root too: the one whose keys signed the policy")
		}
		return
	}
	root, err := trust.FirstRoot(r.file.Root.Text)
	if err != nil {
		r.wrongAt("root", "is no root document that its own keys signed: "+err.Error(), "give the root.json that `holdfast policy init` or `policy sign` wrote, unchanged")
		return
	}
	if !r.file.Policy.Given() {
		return
	}
	node := edge.Identity{Node: r.file.Node.Name, Groups: r.file.Node.Groups, Labels: map[string]string{}}
	for _, label := range r.file.Node.Labels {
		node.Labels[label.Name] = label.Value
	}
	if _, _, err := trust.AcceptPolicy(root, trust.Floors{}, node, r.file.Policy.Text); err != nil {
		r.wrongAt("policy", "this node would not believe it: "+err.Error(), "give one that keys of this root document signed, for this node")
	}
}

func (r *reader) checkInterface(line int, i Interface) {
	bad := func(detail, remedy string) { r.wrong(line, "network", detail, remedy) }
	switch {
	case (i.Match == "") == (i.MAC == ""):
		bad("an entry names no interface, or names it twice", "write match: eth0 (or en*), or mac: and its address")
	case i.Match != "" && !isInterface(i.Match):
		bad(quote(i.Match)+" is not the name of an interface", "write a name such as eth0, or en* for all of a kind")
	case strings.HasPrefix(i.Match, "wl"):
		bad("Wi-Fi is not set up by this file", "connect the gateway by cable")
	case i.MAC != "" && !isMAC(i.MAC):
		bad(quote(i.MAC)+" is not the address of an interface", "write it as 00:11:22:33:44:55")
	case !i.DHCP && len(i.Address) == 0:
		bad("an entry says neither dhcp nor an address", "write dhcp: true, or address: 192.168.1.10/24")
	case i.Gateway.IsValid() && !reaches(i):
		bad("the gateway "+i.Gateway.String()+" is in none of the networks of this interface", "correct the gateway, or the length of the network behind the address")
	}
}

// reaches tells whether the gateway can be reached directly.
func reaches(i Interface) bool {
	if i.DHCP || i.Gateway.IsLinkLocalUnicast() {
		return true
	}
	for _, prefix := range i.Address {
		if prefix.Contains(i.Gateway) {
			return true
		}
	}
	return false
}

// longestInterface is IFNAMSIZ without its closing zero.
const longestInterface = 15

func isInterface(s string) bool {
	return len(s) <= longestInterface && consists(s, "*?._-")
}

func isMAC(s string) bool {
	mac, err := net.ParseMAC(s)
	return err == nil && len(mac) == 6
}

func isHost(s string) bool { return s != "" && len(s) < 254 && consists(s, ".:-_") }

// consists tells whether a text has only letters, digits and these signs.
func consists(s, signs string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return !alphanumeric && !strings.ContainsRune(signs, c)
	})
}
