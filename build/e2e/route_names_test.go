package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/edge"
)

// plantName is what the node knows its upstream by.
const plantName = "infer.plant.example"

// nameServer is where the node asks for names.
const nameServer = "127.0.0.77"

// names is a name server that knows one name, if it answers at all.
type names struct {
	conn    net.PacketConn
	answers atomic.Int32 // how
}

// How a name server answers.
const (
	nameKnown = iota
	nameUnknown
	nameSilent
)

func serveNames(t *testing.T) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", nameServer+":53")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{conn: conn}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.run()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return n
}

func (n *names) run() {
	question := make([]byte, 512)
	for {
		size, from, err := n.conn.ReadFrom(question)
		if err != nil {
			return
		}
		if how := n.answers.Load(); how != nameSilent {
			_, _ = n.conn.WriteTo(nameReply(question[:size], how == nameKnown), from) // who does not get it asks again
		}
	}
}

// nameReply is the answer of RFC 1035 to one question: the loopback's address for an A record, nothing for
// other records, or that there is no such name.
func nameReply(question []byte, known bool) []byte {
	end := 12
	for end < len(question) && question[end] != 0 {
		end += 1 + int(question[end])
	}
	end += 5 // the name's end, type and class
	answer := append([]byte{}, question[:end]...)
	answer[2], answer[3] = 0x81, 0x80 // a response, recursion wanted and available
	copy(answer[4:12], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	switch isA := question[end-3] == 1; {
	case !known:
		answer[3] |= 3
	case isA:
		answer[7] = 1
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1)
	}
	return answer
}

// gatehouse is the other node's face to the world: HTTPS under a name, with a certificate that may expire.
type gatehouse struct {
	server  *httptest.Server
	ca      string
	good    tls.Certificate
	expired tls.Certificate
	shown   atomic.Pointer[tls.Certificate]
}

func newGatehouse(t *testing.T, to string) *gatehouse {
	t.Helper()
	g := &gatehouse{}
	now := time.Now()
	ca, root := certify(t, nil, now.Add(time.Hour))
	g.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
	ca.Leaf = root
	g.good, _ = certify(t, &ca, now.Add(time.Hour))
	g.expired, _ = certify(t, &ca, now.Add(-time.Minute))
	g.shown.Store(&g.good)
	target, err := url.Parse("http://" + to)
	if err != nil {
		t.Fatal(err)
	}
	inside := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(inside.CloseIdleConnections)
	g.server = httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Transport: inside,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog:  log.New(io.Discard, "", 0),
	})
	g.server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are to fail
	g.server.TLS = &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return g.shown.Load(), nil },
	}
	g.server.StartTLS()
	t.Cleanup(g.server.Close)
	return g
}

// url is the gatehouse by its name.
func (g *gatehouse) url() string {
	return "https://" + net.JoinHostPort(plantName, fmt.Sprint(g.server.Listener.Addr().(*net.TCPAddr).Port))
}

// certify makes a certificate for the plant's name that is good until then, signed by the authority; without one
// it is an authority itself.
func certify(t *testing.T, by *tls.Certificate, until time.Time) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: plantName}, DNSNames: []string{plantName},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until, BasicConstraintsValid: true, IsCA: by == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := template, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf
}

// withNames has the agent of a node ask the name server of the test, and nobody else.
func (n *node) withNames() {
	n.t.Helper()
	asks := filepath.Join(n.t.TempDir(), "resolv.conf")
	text := fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:1\n", nameServer)
	if err := os.WriteFile(asks, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
	n.Through("unshare", "--mount", "--propagation", "slave", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, asks)
}

// TestRoute_NamesAndCertificates takes from an upstream what it is found by and known by.
func TestRoute_NamesAndCertificates(t *testing.T) {
	server := serveNames(t)
	hq := newNode(t)
	hq.deploy(digitsService(1))
	hq.awaitReady("digits", 1)
	gate := newGatehouse(t, hq.port())
	n := placeNode(t)
	n.withNames()
	n.furnish()
	r := &routed{node: n, hq: hq, next: 2}
	r.begin(digitsService(1))
	r.awaitReady("digits", 1)
	alone := r.travel(nil)
	r.route("upstream-else-local", gate.url(), fmt.Sprintf(", ca: %q", gate.ca))
	if fine := r.travelAs(nil, "digits", far); fine[0].upstream == 0 || fine[1].upstream != tripTasks {
		t.Errorf("%+v, want %d answered upstream, and some of those with a local route", fine, tripTasks)
	}
	for _, f := range []struct {
		name         string
		wrong, right func()
		says         string
	}{
		{"CertificateExpired", func() { gate.shown.Store(&gate.expired) }, func() { gate.shown.Store(&gate.good) }, "certificate has expired"},
		{"NameUnknown", func() { server.answers.Store(nameUnknown) }, func() { server.answers.Store(nameKnown) }, "no such host"},
		{"NameServerSilent", func() { server.answers.Store(nameSilent) }, func() { server.answers.Store(nameKnown) }, plantName},
	} {
		t.Run(f.name, func(t *testing.T) {
			r := &routed{node: n.in(t), hq: hq}
			f.wrong()
			gate.server.CloseClientConnections() // what is open knows the way, and whom it has asked
			if got := r.suffers(alone, nil); got.upstream > 0 {
				t.Errorf("%d were answered upstream", got.upstream)
			}
			r.awaitUpstreams(edge.UpstreamDown)
			if status, err := r.Client().Status(t.Context()); err != nil || !strings.Contains(status.Upstreams[0].LastError, f.says) {
				t.Errorf("status says %+v, %v; want %q among it", status.Upstreams, err, f.says)
			}
			r.heals(f.right)
			if back := r.travel(nil); back.upstream == 0 || back.onTime != tripTasks {
				t.Errorf("when all was well again: %+v", back)
			}
		})
	}
}
