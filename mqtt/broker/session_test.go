package broker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/build/await"
	"holdfast/mqtt/broker"
)

// club is a broker, and what mosquitto's clients need to come in under a name.
type club struct {
	broker     *broker.Broker
	host, port string
	as         func(name string) []string
	dial       func(t *testing.T, name string) net.Conn
}

// passwordClub lets in by passwords, and the anonymous.
func passwordClub(t *testing.T) club {
	users := filepath.Join(t.TempDir(), "users")
	for _, name := range []string{"gw-1", "gw-2"} {
		line, err := broker.HashPassword(name, "secret")
		if err != nil {
			t.Fatal(err)
		}
		appendTo(t, users, line+"\n")
	}
	c := club{dial: func(t *testing.T, _ string) net.Conn { return nil }}
	c.broker, c.host, c.port = run(t, broker.Options{Users: users, Anonymous: true})
	c.dial = func(t *testing.T, _ string) net.Conn { return dial(t, c.host, c.port) }
	c.as = func(name string) []string {
		if name == "" {
			return nil
		}
		return []string{"-u", name, "-P", "secret"}
	}
	return c
}

// certificateClub lets in by certificates.
func certificateClub(t *testing.T) club {
	dir := t.TempDir()
	authority := issue(t, dir, "ca", nil)
	for _, name := range []string{"broker", "gw-1", "gw-2"} {
		issue(t, dir, name, authority)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	var c club
	c.broker, c.host, c.port = run(t, broker.Options{Listen: []broker.Listener{{
		Address: "127.0.0.1:0", TLS: broker.TLS{Certificate: file("broker.pem"), Key: file("broker.key"), ClientCA: file("ca.pem")},
	}}})
	c.as = func(name string) []string {
		return []string{"--cafile", file("ca.pem"), "--cert", file(name + ".pem"), "--key", file(name + ".key")}
	}
	c.dial = func(t *testing.T, name string) net.Conn {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(file(name+".pem"), file(name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		trusted := x509.NewCertPool()
		trusted.AddCert(authority.cert)
		return tls.Client(dial(t, c.host, c.port), &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: trusted, ServerName: "127.0.0.1"})
	}
	return c
}

type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate for 127.0.0.1, signed by itself or by another.
func issue(t *testing.T, dir, name string, by *signer) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: by == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}}
	if by == nil {
		by = s
	}
	der, err := x509.CreateCertificate(rand.Reader, s.cert, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestBroker_Sessions: an id is worth no more than the name that was proven, connected or
// not.
func TestBroker_Sessions(t *testing.T) {
	for name, c := range map[string]struct {
		club     func(t *testing.T) club
		attacker string
	}{"Password": {passwordClub, "gw-2"}, "Anonymous": {passwordClub, ""}, "Certificate": {certificateClub, "gw-2"}} {
		t.Run(name+"/Connected", func(t *testing.T) {
			c, attacker := c.club(t), c.attacker
			victim := c.dial(t, "gw-1")
			introduce(t, victim, "gw-1", "gw-1", "secret")
			if _, err := c.hear(attacker, "gw-1", "-E"); err != nil {
				t.Errorf("the other does not come in beside it: %v", err)
			}
			ping(t, victim)
			if got := c.broker.Counts().Sessions; got < 2 {
				t.Errorf("%d sessions, want two under one id", got)
			}
			introduce(t, c.dial(t, "gw-1"), "gw-1", "gw-1", "secret")
			if ended(victim) == nil {
				t.Error("a node's own older connection was kept beside its new one")
			}
		})
		t.Run(name+"/Away", func(t *testing.T) {
			c, attacker := c.club(t), c.attacker
			if _, err := c.hear("gw-1", "gw-1", "-E"); err != nil {
				t.Fatal(err)
			}
			if err := say(c.host, c.port, append(c.as("gw-2"), "-t", "down", "-m", "for gw-1")...); err != nil {
				t.Fatal(err)
			}
			// Who has sent is answered before others are told: whoever comes meanwhile may hear it too.
			await.Until(t, time.Minute, time.Millisecond, "the message to be with the session", func(context.Context) error {
				if n := c.broker.Counts().Connections; n > 0 {
					return fmt.Errorf("%d connections have not ended", n)
				}
				return nil
			})
			if got, err := c.hear(attacker, "gw-1", "-W", "1"); err == nil {
				t.Errorf("the other heard %q from the session", got)
			}
			if got, err := c.hear("gw-1", "gw-1"); err != nil || got != "for gw-1" {
				t.Errorf("the node heard %q, %v; want what waited for it", got, err)
			}
		})
	}
}

// hear takes up the session of an id under a name.
func (c club) hear(name, id string, more ...string) (string, error) {
	return hear(c.host, c.port, append(append(c.as(name), "-i", id, "-c", "-q", "1", "-t", "down"), more...)...)
}

// introduce connects as a client that is to be remembered.
func introduce(t *testing.T, conn net.Conn, id, user, password string) {
	t.Helper()
	body := []byte{0, 4, 'M', 'Q', 'T', 'T', 4, 0xc0, 0, 60}
	for _, text := range []string{id, user, password} {
		body = append(append(body, 0, byte(len(text))), text...)
	}
	if _, err := conn.Write(append([]byte{0x10, byte(len(body))}, body...)); err != nil {
		t.Fatal(err)
	}
	answer(t, conn, "its CONNECT", 4, 0x20)
}

func ping(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Write([]byte{0xc0, 0}); err != nil {
		t.Fatalf("the victim lost its connection: %v", err)
	}
	answer(t, conn, "a ping of the victim", 2, 0xd0)
}

func answer(t *testing.T, conn net.Conn, to string, size int, first byte) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, size)
	if _, err := io.ReadFull(conn, got); err != nil || got[0] != first || first == 0x20 && got[3] != 0 {
		t.Fatalf("the answer to %s is %x, %v", to, got, fmt.Sprint(err))
	}
}
