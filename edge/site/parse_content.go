package site

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// MaxDocument bounds a file that lies beside the site file: a chain of certificates and
// a signed policy have less.
const MaxDocument = 1 << 20

// content is a document: what has several lines stands in the site file itself, one
// line is the name of a file beside it.
func (r *reader) content(at *Document) func(string, *yaml.Node) {
	return func(key string, n *yaml.Node) {
		switch {
		case n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode:
			r.wrong(n.Line, key, "is not a text", "write "+lastOf(key)+": | and the document below it, two spaces further in; or the name of a file beside this one")
		case n.Kind == yaml.ScalarNode && (strings.Contains(n.Value, "\n") || strings.HasPrefix(n.Value, "-----BEGIN") || strings.HasPrefix(n.Value, "{")):
			at.Text = []byte(n.Value)
		default:
			if name, ok := r.scalar(key, n); ok {
				r.fileBeside(key, name, at)
			}
		}
	}
}

func (r *reader) fileBeside(key, name string, at *Document) {
	shown, given := quote(name), quote(name)
	if key == "broker.key" { // what stands there may be the key itself, on one line
		shown, given = "of that name", "what is given"
	}
	if strings.ContainsAny(name, `/\:`) || strings.HasPrefix(name, ".") {
		r.wrongAt(key, given+" is not the name of a file beside this one", "copy the file into the same folder, and write its name alone")
		return
	}
	text, err := r.beside(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.wrongAt(key, "there is no file "+shown+" beside this one", "copy it into the same folder; see whether its name has an ending that your system hides")
	case err != nil:
		r.wrongAt(key, "the file "+shown+" cannot be read", "copy it anew; it must be a file of less than 1 MiB")
	case len(bytes.TrimSpace(text)) == 0:
		r.wrongAt(key, "the file "+shown+" is empty", "copy it anew")
	default:
		*at = Document{Text: unmarked(text), Beside: name}
	}
}

// unmarked takes the mark of byte order off, which nothing expects in such a document.
func unmarked(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) }

func (r *reader) network(key string, n *yaml.Node) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	const most = 16 // interfaces of a gateway
	if len(items) > most {
		r.wrong(n.Line, key, "has more than 16 entries", "an entry may match several interfaces: eth*")
		return
	}
	for _, item := range items {
		var one Interface
		r.mapping(key, item, fields{
			"match": r.text(&one.Match), "mac": r.text(&one.MAC), "dhcp": r.truth(&one.DHCP),
			"address": r.prefixes(&one.Address), "gateway": r.address(&one.Gateway), "dns": r.addresses(&one.DNS),
		})
		r.checkInterface(item.Line, one)
		r.file.Network = append(r.file.Network, one)
	}
}

func (r *reader) truth(at *bool) func(string, *yaml.Node) {
	return func(key string, n *yaml.Node) {
		switch strings.ToLower(n.Value) {
		case "true", "yes", "on":
			*at = true
		case "false", "no", "off":
		default:
			r.wrong(n.Line, key, quote(n.Value)+" is neither true nor false", "write true or false")
		}
	}
}

func (r *reader) prefixes(at *[]netip.Prefix) func(string, *yaml.Node) {
	return func(key string, n *yaml.Node) {
		var texts []string
		r.texts(&texts)(key, n)
		for _, text := range texts {
			prefix, err := netip.ParsePrefix(text)
			if err != nil || !prefix.Addr().IsValid() || prefix.Addr().IsUnspecified() || prefix.Addr().IsMulticast() {
				r.wrong(n.Line, key, quote(text)+" is not an address with the length of its network", "write it as 192.168.1.10/24 (255.255.255.0 is /24)")
				continue
			}
			*at = append(*at, prefix)
		}
	}
}

func (r *reader) address(at *netip.Addr) func(string, *yaml.Node) {
	return func(key string, n *yaml.Node) {
		var all []netip.Addr
		r.addresses(&all)(key, n)
		if len(all) > 0 {
			*at = all[0]
		}
	}
}

func (r *reader) addresses(at *[]netip.Addr) func(string, *yaml.Node) {
	return func(key string, n *yaml.Node) {
		var texts []string
		r.texts(&texts)(key, n)
		for _, text := range texts {
			addr, err := netip.ParseAddr(text)
			if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "" {
				r.wrong(n.Line, key, quote(text)+" is not an address", "write it as 192.168.1.1")
				continue
			}
			*at = append(*at, addr)
		}
	}
}

// instant is a time by the calendar; without a zone it is in UTC.
func (r *reader) instant(at *time.Time) func(string, *yaml.Node) {
	return func(key string, n *yaml.Node) {
		text, ok := r.scalar(key, n)
		if !ok {
			return
		}
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
			if t, err := time.Parse(layout, text); err == nil && t.Year() >= 2020 && t.Year() < 2100 {
				*at = t.UTC()
				return
			}
		}
		r.wrong(n.Line, key, quote(text)+" is not a time", "write it as 2026-11-22 08:30 (in UTC), or with a zone as 2026-11-22T08:30:00+01:00")
	}
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func lastOf(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }
