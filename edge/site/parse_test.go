package site_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"unicode/utf16"

	"holdfast/edge"
	"holdfast/edge/site"
)

// whole asks for everything that fits into one file.
const whole = `node:
  name: line-3-gw
  site: plant-7
  role: inspection
  groups: [line-3, east]
  labels: {hall: east, floor: "2"}
broker:
  url: tls://broker.example.com:8883
  user: line-3-gw
  password: 0815
network:
  - match: eth0
    address: 192.168.1.10/24
    gateway: 192.168.1.1
    dns: [192.168.1.1, 9.9.9.9]
  - mac: 00:11:22:33:44:55
    dhcp: true
time:
  servers: [ntp.example.com, 192.168.1.1]
  now: 2026-11-22 08:30
`

func nothingBeside(string) ([]byte, error) { return nil, fs.ErrNotExist }

func parse(t *testing.T, text string) *site.File {
	t.Helper()
	file, err := site.Parse(site.Name, []byte(text), nothingBeside)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestParse_Whole(t *testing.T) {
	f := parse(t, whole)
	if f.Node.Name != "line-3-gw" || f.Node.Site != "plant-7" || len(f.Node.Groups) != 2 || len(f.Node.Labels) != 2 {
		t.Errorf("got node %+v", f.Node)
	}
	if f.Broker.Password != "0815" {
		t.Errorf("got password %q, want the digits as they are written", f.Broker.Password)
	}
	if len(f.Network) != 2 || f.Network[0].Gateway.String() != "192.168.1.1" || !f.Network[1].DHCP {
		t.Errorf("got network %+v", f.Network)
	}
	if got := f.Time.Now.Format("2006-01-02T15:04Z07:00"); got != "2026-11-22T08:30Z" || len(f.Time.Servers) != 2 {
		t.Errorf("got time %+v", f.Time)
	}
	if f.Line("broker.url") != 8 || f.Line("broker.ca") != 7 || f.Line("root") != 0 {
		t.Errorf("got lines %d, %d, %d, want 8, the section's 7, and none", f.Line("broker.url"), f.Line("broker.ca"), f.Line("root"))
	}
}

// TestParse_AsEditorsWrite reads the same file as every editor would have written it.
func TestParse_AsEditorsWrite(t *testing.T) {
	windows := strings.ReplaceAll(whole, "\n", "\r\n")
	for name, text := range map[string]string{
		"WindowsLineEnds":  windows,
		"OldMacLineEnds":   strings.ReplaceAll(whole, "\n", "\r"),
		"MarkOfByteOrder":  "\ufeff" + windows,
		"UTF16":            wide("\ufeff"+windows, false),
		"UTF16BigEndian":   wide("\ufeff"+windows, true),
		"BlanksAtLineEnds": strings.ReplaceAll(whole, "\n", "   \n"),
		"Comments":         "# set up by Jo “the fixer”\t\n" + whole + "# end\n",
	} {
		t.Run(name, func(t *testing.T) {
			if f := parse(t, text); f.Node.Name != "line-3-gw" || len(f.Network) != 2 {
				t.Errorf("got %+v and %d interfaces", f.Node, len(f.Network))
			}
		})
	}
}

func wide(s string, big bool) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		if low, high := byte(unit), byte(unit>>8); big {
			b.Write([]byte{high, low})
		} else {
			b.Write([]byte{low, high})
		}
	}
	return b.String()
}

// TestParse_Faults wants the line and the remedy of what people get wrong.
func TestParse_Faults(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"Tab":              {"node:\n\tname: x\n", "line 2: begins with a tab; use spaces before a key, two for each level"},
		"TypographicQuote": {"broker:\n  url: “tls://b:1”\n", `line 2: broker.url: stands in typographic quotes; type plain ones, ", or none`},
		"TypographicKey":   {"“node”: {name: x}\n", "line 1: there is no key \"“node”\"; type plain quotes, or none"},
		"HardBlank":        {"node:\n  name:\u00a0x\n", "line 2: holds a blank that is no space (U+00A0); delete it and type a space"},
		"WideColon":        {"node：\n  name: x\n", `line 1: holds a wide colon; type ":" and a space`},
		"NoBlank":          {"node:\n  name:x\n", "line 2: node: is no list of keys; write its keys on lines of their own, as key: value, two spaces further in"},
		"Latin1":           {"# caf\xe9\nnode: {name: x}\n", `line 1: holds letters that are not UTF-8; save the file with the encoding "UTF-8"`},
		"WordDocument":     {"PK\x03\x04\x00\x00", `line 1: holds bytes that are no text; save the file as plain text with the encoding "UTF-8"`},
		"UnknownKey":       {"node: {nmae: x}\n", `line 1: there is no key "node.nmae"; write one of groups, labels, name, role, site`},
		"Twice":            {"node:\n  name: x\n  name: y\n", "line 3: node.name: stands here for the second time; keep one"},
		"Empty":            {"node:\n  name:\n", "line 2: node.name: has no value; write one, or remove the line"},
		"NoBroker":         {"broker: {user: a, password: b}\n", "line 1: broker.url: is missing; write it as tls://broker.example:8883"},
		"PasswordAlone":    {"broker: {url: 'tls://b:1', password: b}\n", "line 1: broker.password: stands without a user; write broker.user too"},
		"TokenAlone":       {"broker: {url: 'tls://b:1', token: b}\n", "line 1: broker.token: needs node.name: with a token the node's name is its user at the broker; write node: and below it name: ..."},
		"NoFile":           {"root: root.json\n", `line 1: root: there is no file "root.json" beside this one; copy it into the same folder; see whether its name has an ending that your system hides`},
		"Path":             {"root: C:\\root.json\n", `line 1: root: "C:\\root.json" is not the name of a file beside this one; copy the file into the same folder, and write its name alone`},
		"NotMasked":        {"network: {match: eth0, address: 10.0.0.2}\n", `line 1: network.address: "10.0.0.2" is not an address with the length of its network; write it as 192.168.1.10/24 (255.255.255.0 is /24)`},
		"OtherNetwork":     {"network: {match: eth0, address: 10.0.0.2/24, gateway: 10.0.1.1}\n", "line 1: network: the gateway 10.0.1.1 is in none of the networks of this interface; correct the gateway, or the length of the network behind the address"},
		"WiFi":             {"network:\n  - match: wlan0\n    ssid: x\n    dhcp: true\n", "line 2: network: Wi-Fi is not set up by this file; connect the gateway by cable"},
		"NewlineInName":    {"network: {match: \"eth0\\n[Route]\", dhcp: true}\n", `line 1: network.match: is not one line; write it on one line of at most 1024 letters`},
		"Time":             {"time: {now: yesterday}\n", `line 1: time.now: "yesterday" is not a time; write it as 2026-11-22 08:30 (in UTC), or with a zone as 2026-11-22T08:30:00+01:00`},
		"NotPEM":           {"broker:\n  url: tls://b:1\n  ca: |\n    hello\n    you\n", "line 3: broker.ca: holds no certificate; give the PEM text that begins with -----BEGIN CERTIFICATE-----"},
		"KeyAsCA":          {"broker:\n  url: tls://b:1\n  ca: |\n    -----BEGIN PRIVATE KEY-----\n    AAAA\n    -----END PRIVATE KEY-----\n", "line 3: broker.ca: holds a private key; give the PEM text that begins with -----BEGIN CERTIFICATE-----"},
		"RootUnsigned":     {"root: |\n  {\"a\": 1}\n", "line 1: root: is no root document that its own keys signed"},
		"TwoDocuments":     {"node: {name: x}\n---\nnode: {name: y}\n", "line 2: holds more than one document; remove the lines that are only ---"},
		"List":             {"- node\n", "line 1: is no list of keys; write its keys on lines of their own, as key: value, two spaces further in"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := site.Parse(site.Name, []byte(c.text), nothingBeside)
			faults := site.FaultsOf(err)
			if len(faults) == 0 || !strings.Contains(faults[0].String(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("got %v, want edge.ErrInvalid", err)
			}
		})
	}
}

// TestParse_KeyInCertificate gives a bundle that has the key in it, as some tools write it:
// the certificate's file is for all to read, and stays on the boot partition.
func TestParse_KeyInCertificate(t *testing.T) {
	certificate, key := pair(t)
	parameters := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	for name, c := range map[string]struct{ bundle, want string }{
		"Alone":     {certificate, ""},
		"Chain":     {"subject=line-3\n" + certificate + certificate, ""},
		"KeyBehind": {certificate + key, "broker.certificate: holds a private key; give the certificates alone, as PEM, and the key as broker.key"},
		"KeyBefore": {key + certificate, "broker.certificate: holds a private key"},
		"Indented":  {certificate + strings.ReplaceAll("\n"+key, "\n", "\n  "), "broker.certificate: holds a private key"},
		"Other":     {parameters + certificate, "broker.certificate: holds a ec parameters"},
	} {
		t.Run(name, func(t *testing.T) {
			beside := map[string]string{"gw.pem": c.bundle, "gw.key": key}
			_, err := site.Parse(site.Name, []byte("broker: {url: 'tls://b:1', certificate: gw.pem, key: gw.key}\n"), func(name string) ([]byte, error) { return []byte(beside[name]), nil })
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestParse_TellsNoSecret looks for the password in everything that is said of a file in
// which it was written wrong.
func TestParse_TellsNoSecret(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, password := range []string{
		secret, "*" + secret, "&" + secret, "!" + secret, "%" + secret, "@" + secret, "'" + secret, `"` + secret, "[" + secret, "{" + secret, "“" + secret + "”",
		"|\n    " + secret + "\n    " + secret, secret + "\n  " + secret, "{a: " + secret + "}", "!!binary " + secret, "? " + secret, secret + ": " + secret, "\t" + secret,
	} {
		for _, text := range []string{"broker:\n  url: tls://b:1\n  user: u\n  password: " + password + "\n", "broker: {url: 'tls://b:1', user: u, password:" + password + "}\n", "broker:\n  url: tls://b:1\n  password=" + password + ": \n", "broker:\n  url: tls://b:1\n  key: " + password + "\n"} {
			_, err := site.Parse(site.Name, []byte(text), nothingBeside)
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("password %q: the error has it: %v", password, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(site.Example()))
	f.Add([]byte(wide("\ufeff"+whole, false)))
	f.Add([]byte("a: &a [*a, *a]\nnetwork: [[[]]]\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := site.Parse(site.Name, content, nothingBeside)
		if (file == nil) == (err == nil) {
			t.Fatalf("got %v and %v, want one of them", file, err)
		}
		if err != nil {
			return
		}
		for _, target := range file.Targets(site.Folders{Etc: "/e", Network: "/n", Time: "/t"}) {
			if strings.HasSuffix(target.Path, ".network") && strings.Count(string(target.Content), "[") != 3 {
				t.Errorf("a value has made a section of its own:\n%s", target.Content)
			}
		}
	})
}

func TestExample_AsksForNothing(t *testing.T) {
	f := parse(t, site.Example())
	if got := f.Targets(site.Folders{}); got != nil {
		t.Errorf("got %v, want no targets", got)
	}
	// Negatively: without its comments it asks for much, and is well formed.
	all := strings.ReplaceAll(site.Example(), "\r\n#", "\r\n")
	_, text, found := strings.Cut(all, "node:")
	if !found {
		t.Fatal("the example has no node")
	}
	text = "node:" + text
	_, err := site.Parse(site.Name, []byte(text), nothingBeside)
	for _, fault := range site.FaultsOf(err) {
		if !strings.Contains(fault.Detail, "there is no file") && fault.Key != "broker.token" && fault.Key != "broker.certificate" {
			t.Errorf("the example is wrong: %v", fault)
		}
	}
}
