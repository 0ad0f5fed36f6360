package site

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// Folders are where things are on the node.
type Folders struct {
	Boot    string // what a laptop reads and writes
	Etc     string // of the configuration
	Network string // of systemd-networkd
	Time    string // of systemd-timesyncd
	State   string // of what must survive a power cut
}

// Target is a file of the node that a site file makes.
type Target struct {
	Path    string      `json:"path"`
	Mode    fs.FileMode `json:"mode"`
	Content []byte      `json:"content"`
	Secret  bool        `json:"secret,omitempty"`
}

// The modes of what is read by others, of what is root's alone, and of what has the mode
// that its file system gives: FAT knows none.
const (
	open   fs.FileMode = 0o644
	closed fs.FileMode = 0o600
	given  fs.FileMode = 0
)

// configName is before files that people put into conf.d by hand, so that theirs count.
const configName = "50-site.yaml"

// Targets are all files that a site file makes, in the order in which they are written:
// what the configuration names comes before it.
func (f *File) Targets(at Folders) []Target {
	own := filepath.Join(at.Etc, "site")
	w := &configWriter{folder: own}
	w.node(f.Node)
	w.trust(f)
	w.broker(f)
	all := w.files
	if w.text.Len() > 0 {
		head := "# Written from " + f.Name + " (holdfast site apply); the next site file replaces it.\n"
		all = append(all, Target{Path: filepath.Join(at.Etc, "conf.d", configName), Mode: open, Content: []byte(head + w.text.String())})
	}
	for i, one := range f.Network {
		all = append(all, Target{Path: filepath.Join(at.Network, fmt.Sprintf("10-holdfast-site-%02d.network", i+1)), Mode: open, Content: one.unit()})
	}
	if len(f.Time.Servers) > 0 {
		text := "[Time]\nNTP=" + strings.Join(f.Time.Servers, " ") + "\n"
		all = append(all, Target{Path: filepath.Join(at.Time, "50-holdfast-site.conf"), Mode: open, Content: []byte(text)})
	}
	return all
}

// unit is the interface as systemd-networkd reads it.
func (i Interface) unit() []byte {
	var b strings.Builder
	b.WriteString("[Match]\n")
	if i.MAC != "" {
		b.WriteString("MACAddress=" + i.MAC + "\n")
	} else {
		b.WriteString("Name=" + i.Match + "\n")
	}
	// Nobody waits for a cable: a gateway without one is in service.
	b.WriteString("\n[Link]\nRequiredForOnline=no\n\n[Network]\n")
	if i.DHCP {
		b.WriteString("DHCP=yes\n")
	}
	for _, address := range i.Address {
		b.WriteString("Address=" + address.String() + "\n")
	}
	if i.Gateway.IsValid() {
		b.WriteString("Gateway=" + i.Gateway.String() + "\n")
	}
	for _, server := range i.DNS {
		b.WriteString("DNS=" + server.String() + "\n")
	}
	return []byte(b.String())
}

// configWriter writes keys of the configuration, and the files that they name.
type configWriter struct {
	folder string
	text   strings.Builder
	files  []Target
}

func (w *configWriter) section(name string, lines ...string) {
	if len(lines) > 0 {
		w.text.WriteString(name + ":\n" + strings.Join(lines, ""))
	}
}

// pair is a line of a section; nothing where there is no value.
func pair(key, value string) []string {
	if value == "" {
		return nil
	}
	return []string{"  " + key + ": " + yamlText(value) + "\n"}
}

// yamlText is any text as YAML reads it back: quoted as Go does it, of ASCII alone.
func yamlText(s string) string { return strconv.QuoteToASCII(s) }

func (w *configWriter) node(n Node) {
	lines := append(append(pair("name", n.Name), pair("site", n.Site)...), pair("role", n.Role)...)
	lines = append(lines, pair("groups", strings.Join(n.Groups, ","))...)
	if len(n.Labels) > 0 {
		lines = append(lines, "  labels:\n")
	}
	for _, label := range n.Labels {
		lines = append(lines, "    "+yamlText(label.Name)+": "+yamlText(label.Value)+"\n")
	}
	w.section("node", lines...)
}

func (w *configWriter) trust(f *File) {
	w.section("policy", append(
		w.document("root", "root.json", f.Root, open),
		w.document("factory", "factory-policy.json", f.Policy, open)...)...)
}

func (w *configWriter) broker(f *File) {
	b := f.Broker
	user, password := b.User, b.Password
	if b.Token != "" {
		user, password = f.Node.Name, b.Token
	}
	lines := append(pair("broker", b.URL), pair("user", user)...)
	if password != "" {
		lines = append(lines, w.document("passwordFile", "broker-password", Document{Text: []byte(password + "\n")}, closed)...)
	}
	lines = append(lines, w.document("ca", "broker-ca.pem", b.CA, open)...)
	lines = append(lines, w.document("certificate", "broker-certificate.pem", b.Certificate, open)...)
	w.section("link", append(lines, w.document("key", "broker-key.pem", b.Key, closed)...)...)
}

// document keeps a text in a file of its own, and names it.
func (w *configWriter) document(key, name string, d Document, mode fs.FileMode) []string {
	if !d.Given() {
		return nil
	}
	path := filepath.Join(w.folder, name)
	w.files = append(w.files, Target{Path: path, Mode: mode, Content: d.Text, Secret: mode == closed})
	return pair(key, path)
}

// keyOf is the key of the site file that a key of the configuration comes from.
func keyOf(configured string) string {
	switch configured {
	case "policy.root":
		return "root"
	case "policy.factory":
		return "policy"
	case "link.broker":
		return "broker.url"
	case "link.passwordFile":
		return "broker.password"
	}
	if rest, link := strings.CutPrefix(configured, "link."); link {
		return "broker." + rest
	}
	return configured
}
