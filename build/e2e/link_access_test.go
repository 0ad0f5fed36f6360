package e2e_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/build/mosquitto"
	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/mqtt"
)

// authority signs certificates of brokers and clients.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: filepath.Join(t.TempDir(), name)}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = a.issue("ca", a.cert)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// leaf issues a certificate that bears a name, for a time from now, into files of
// another name.
func (a *authority) leaf(file, name string, from, to time.Duration) {
	a.t.Helper()
	a.issue(file, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) valid(name string) { a.leaf(name, name, -time.Hour, 24*time.Hour) }

func (a *authority) issue(file string, template *x509.Certificate) *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key // its own
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.keep(file+".key", "PRIVATE KEY", secret)
	a.keep(file+".pem", "CERTIFICATE", der)
	return key
}

func (a *authority) keep(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// flags are those of mosquitto's clients for a name's certificate.
func (a *authority) flags(address, name string) []string {
	host, port, _ := strings.Cut(address, ":")
	return []string{"-h", host, "-p", port, "--cafile", a.path("ca.pem"), "--cert", a.path(name + ".pem"), "--key", a.path(name + ".key")}
}

// embed runs `holdfast broker` until the test ends.
func embed(t testing.TB, words ...string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	_ = listener.Close()
	var said bytes.Buffer
	broker := exec.Command(shop.binary(), append([]string{"broker", "--listen", address}, words...)...)
	broker.Stdout, broker.Stderr = &said, &said
	broker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = broker.Process.Kill()
		_ = broker.Wait()
		if t.Failed() {
			t.Logf("the broker said:\n%s", said.String())
		}
	})
	look(t, "the broker", func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	return address
}

// outpost starts a node on which nothing runs, linked as the words say.
func outpost(t testing.TB, name, link string) *node {
	t.Helper()
	n := placeNode(t)
	n.configure("", fmt.Sprintf("node: {name: %s, groups: [first], site: %s}", name, siteName), "link: {"+link+"}")
	n.startAgent()
	return n
}

// lastingRefusal is how long the first wait after a refusal may be, and something for a
// busy machine: who was refused comes back after 15 to 30 s.
const lastingRefusal = 30*time.Second + within

// awaitLink waits until the link is up and nothing of it is warned of any more.
func (n *node) awaitLink() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lastingRefusal)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		status, err := n.Client().Status(ctx)
		if err == nil && status.Link != nil && status.Link.Phase == "up" && len(warningsOf(status, "link-")) == 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			n.t.Fatalf("the link is %+v, warnings are %+v (%v)", status.Link, status.Warnings, err)
		}
	}
}

func warningsOf(status edge.Status, prefix string) (found []edge.Warning) {
	for _, w := range status.Warnings {
		if strings.HasPrefix(w.Code, prefix) {
			found = append(found, w)
		}
	}
	return found
}

// wantSecret wants a word to be nowhere where people look.
func (n *node) wantSecret(words ...string) {
	n.t.Helper()
	log, err := os.ReadFile(n.AgentLog())
	if err != nil {
		n.t.Fatal(err)
	}
	status, err := n.Client().Status(context.Background())
	if err != nil {
		n.t.Fatal(err)
	}
	shown, err := json.Marshal(status)
	if err != nil {
		n.t.Fatal(err)
	}
	events, err := json.Marshal(n.events(0))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, word := range words {
		for where, text := range map[string][]byte{"the log": log, "the status": shown, "the events": events} {
			if bytes.Contains(text, []byte(word)) {
				n.t.Errorf("%s shows the password", where)
			}
		}
	}
}

// TestLink_Access has brokers that let nobody in who does not prove who they are. Nodes
// that cannot say why and go on; what is mended is noticed while they run.
func TestLink_Access(t *testing.T) {
	const right, wrong, given = "corr3ct-horse", "wr0ng-horse", "giv3n-horse"
	dir := t.TempDir()
	secret := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	users := secret("users", hashed(t, "gw-p", right)+strings.TrimSpace(hashed(t, "gw-c", given)))
	strict, err := mosquitto.Start(t.Context(), filepath.Join(dir, "strict"), "allow_anonymous false", "password_file "+users)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = strict.Kill() })

	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	for _, name := range []string{"broker", "desk", "gw-t"} {
		ours.valid(name)
	}
	ours.leaf("gw-old", "gw-old", -48*time.Hour, -time.Hour)
	ours.leaf("gw-new", "gw-new", time.Hour, 48*time.Hour)
	ours.leaf("gw-alias", "gw-somebody", -time.Hour, time.Hour)
	theirs.valid("gw-far")
	secured := embed(t, "--tls-cert", ours.path("broker.pem"), "--tls-key", ours.path("broker.key"),
		"--client-ca", ours.path("ca.pem"), "--operators", "desk")
	certified := func(a *authority, name string) string {
		return fmt.Sprintf("broker: %q, ca: %q, certificate: %q, key: %q", "tls://"+secured, a.path("ca.pem"), a.path(name+".pem"), a.path(name+".key"))
	}
	password := secret("password", wrong)

	troubled := []struct {
		node       *node
		code, says string
		mend       func()
	}{
		{outpost(t, "gw-p", fmt.Sprintf("broker: %q, user: gw-p, passwordFile: %q", "tcp://"+strict.Address(), password)),
			"link-refused", "", func() { secret("password", right) }},
		{outpost(t, "gw-old", certified(ours, "gw-old")), "link-expired", "expired", func() { ours.valid("gw-old") }},
		{outpost(t, "gw-new", certified(ours, "gw-new")), "link-not-yet-valid", "", func() { ours.leaf("gw-new", "gw-new", -time.Hour, time.Hour) }},
		{outpost(t, "gw-alias", certified(ours, "gw-alias")), "link-refused", "", func() { ours.valid("gw-alias") }},
		{outpost(t, "gw-far", certified(theirs, "gw-far")), "link-untrusted", "", func() {
			ours.valid("gw-far")
			for _, file := range []string{"ca.pem", "gw-far.key", "gw-far.pem"} {
				text, err := os.ReadFile(ours.path(file))
				if err == nil {
					err = os.WriteFile(theirs.path(file), text, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}},
	}
	for _, c := range troubled {
		w := c.node.awaitWarning(c.code, c.says)
		t.Logf("%s: %s (%s)", w.Code, w.Detail, w.Remedy)
		if w.Remedy == "" {
			t.Errorf("%s has no remedy", w.Code)
		}
		c.mend() // noticed at the next attempt; meanwhile:
	}
	t.Run("SystemdCredential", func(t *testing.T) {
		t.Setenv("CREDENTIALS_DIRECTORY", dir)
		secret("link-password", given)
		n := outpost(t, "gw-c", fmt.Sprintf("broker: %q, user: gw-c", "tcp://"+strict.Address()))
		n.awaitLink()
		n.wantSecret(given)
	})
	t.Run("EachForItself", func(t *testing.T) { eachForItself(t, ours, secured, certified(ours, "gw-t")) })
	for _, c := range troubled {
		c.node.awaitLink()
		c.node.awaitEvent(0, edge.EventWarningCleared, c.code)
	}
	troubled[0].node.wantSecret(right, wrong)
}

// hashed is a user's line of a password file.
func hashed(t testing.TB, user, password string) string {
	t.Helper()
	cmd := exec.Command(shop.binary(), "broker", "password", user)
	cmd.Stdin = strings.NewReader(password + "\n")
	line, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

// eachForItself has a node in by its certificate, which is good for its own topics only.
func eachForItself(t *testing.T, a *authority, address, link string) {
	n := outpost(t, "gw-t", link)
	n.awaitLink()
	run(t, "fleet", "nodes", "--broker", "tls://"+address, "--site", siteName, "--keep", filepath.Join(n.Folder(), "keep"),
		"--ca", a.path("ca.pem"), "--cert", a.path("desk.pem"), "--key-file", a.path("desk.key")).want(t, cli.ExitOK, "gw-t", "online")
	say := func(name, topic string) {
		words := append(a.flags(address, name), "-q", "1", "-r", "-t", topic, "-m", "said by "+name)
		if out, err := exec.Command("mosquitto_pub", words...).CombinedOutput(); err != nil {
			t.Logf("mosquitto_pub as %s: %v: %s", name, err, out) // the broker may end such a connection
		}
	}
	heard := func(name, topic string) string {
		words := append(a.flags(address, name), "-q", "1", "-t", topic, "-C", "1", "-W", "1")
		out, _ := exec.Command("mosquitto_sub", words...).CombinedOutput() // nothing heard is an error, too
		return string(out)
	}
	mine, another := topicOf("gw-t", mqtt.UpEvent), topicOf("gw-x", mqtt.UpEvent)
	say("gw-t", mine)
	say("gw-t", another)
	say("gw-t", topicOf("gw-t", mqtt.DownCommand))
	say("desk", topicOf("gw-x", mqtt.DownCommand))
	for _, c := range []struct {
		name, topic, says string
		allowed           bool
	}{
		{"desk", mine, "said by gw-t", true},
		{"desk", another, "said by gw-t", false},
		{"desk", topicOf("gw-t", mqtt.DownCommand), "said by gw-t", false},
		{"desk", topicOf("gw-x", mqtt.DownCommand), "said by desk", true},
		{"gw-t", topicOf("gw-x", mqtt.DownCommand), "said by desk", false},
	} {
		if got := heard(c.name, c.topic); strings.Contains(got, c.says) != c.allowed {
			t.Errorf("%s hears %q on %s, want to hear %q: %v", c.name, got, c.topic, c.says, c.allowed)
		}
	}
}
