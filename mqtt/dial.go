package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"holdfast/edge"
)

// TLS names the files of a tls:// connection. They are read anew for each one, so a
// renewed certificate needs no restart.
type TLS struct {
	CA          string // who signs the broker's certificate; empty trusts the system's
	Certificate string // ours, and
	Key         string // its key; empty is none
	ServerName  string // what the broker's certificate names, if not the host
}

// target is a broker's address, taken apart.
type target struct {
	host, port string
	secure     bool
}

func (t target) address() string { return net.JoinHostPort(t.host, t.port) }

// parseBroker reads tcp://host:port or tls://host:port. mqtt:// and mqtts:// are the
// same to it.
func parseBroker(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Path != "" && u.Path != "/" {
		return target{}, edge.WithHint(fmt.Errorf("broker %.80q is no address: %w", text, edge.ErrInvalid),
			"write it as tcp://host:1883 or tls://host:8883; credentials have their own settings")
	}
	t := target{host: u.Hostname(), port: u.Port()}
	standard := "1883"
	switch u.Scheme {
	case "tcp", "mqtt":
	case "tls", "mqtts", "ssl":
		t.secure, standard = true, "8883"
	default:
		return target{}, fmt.Errorf("broker %.80q: scheme %q is neither tcp nor tls: %w", text, u.Scheme, edge.ErrInvalid)
	}
	if t.port == "" {
		t.port = standard
	}
	return t, nil
}

// line is an open transport.
type line struct {
	net.Conn
	raw  *meter
	leaf *x509.Certificate // ours, when there is one
}

// dial opens the transport. Its errors are failures.
func (s *Session) dial(ctx context.Context) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.ConnectTimeout)
	defer cancel()
	now := later(s.options.ClockFloor)
	var config *tls.Config
	if s.broker.secure {
		var err error
		if config, err = s.options.TLS.config(s.broker.host, now); err != nil {
			return nil, &Failure{Unprepared, err}
		}
	}
	conn, err := s.options.Dial(ctx, "tcp", s.broker.address())
	if err != nil {
		return nil, failure(Unreachable, "cannot reach broker: %w", err)
	}
	l := &line{raw: &meter{Conn: conn, counts: &s.counts}}
	l.Conn = l.raw
	if config == nil {
		return l, nil
	}
	if len(config.Certificates) > 0 {
		l.leaf = config.Certificates[0].Leaf
	}
	secured := tls.Client(l.raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = l.raw.Close() // the reason is known
		return nil, explain(fmt.Errorf("cannot secure connection to broker: %w", err), l.leaf, now(), Unreachable)
	}
	l.Conn = secured
	return l, nil
}

// later is a clock that never runs before the floor.
func later(floor func() time.Time) func() time.Time {
	return func() time.Time {
		now := time.Now()
		if floor == nil {
			return now
		}
		if f := floor(); f.After(now) {
			return f
		}
		return now
	}
}

// config reads the files.
func (t TLS) config(host string, now func() time.Time) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, Time: now}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("cannot read certificates of authority: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("cannot read certificates of authority %q: it holds none", t.CA)
		}
	}
	if t.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, fmt.Errorf("cannot load certificate %q: %w", t.Certificate, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// explain finds the cause of a connection that failed below MQTT. An alert that the
// broker sends about our certificate says little; its dates say more.
func explain(err error, leaf *x509.Certificate, now time.Time, otherwise Cause) *Failure {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var other x509.HostnameError
	var op *net.OpError
	var f *Failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &Failure{dated(invalid.Cert, now, Expired), err}
	case errors.As(err, &invalid), errors.As(err, &unknown), errors.As(err, &other):
		return &Failure{Untrusted, err}
	case errors.As(err, &op) && op.Op == "remote error" && isAboutUs(op.Err):
		return failure(dated(leaf, now, Refused), "broker refuses our certificate: %w", err)
	}
	return &Failure{otherwise, err}
}

// isAboutUs tells an alert about our certificate, for which a person is needed, from
// one about bytes that a network has garbled. The type of an alert is not exported.
func isAboutUs(alert error) bool {
	for _, word := range []string{"certificate", "access denied", "handshake failure"} {
		if strings.Contains(alert.Error(), word) {
			return true
		}
	}
	return false
}

// dated judges a certificate by its dates alone.
func dated(leaf *x509.Certificate, now time.Time, otherwise Cause) Cause {
	switch {
	case leaf != nil && now.Before(leaf.NotBefore):
		return NotYetValid
	case leaf != nil && now.After(leaf.NotAfter):
		return Expired
	}
	return otherwise
}

// meter counts what really goes over the wire, TLS included: what a month's budget
// is about.
type meter struct {
	net.Conn
	counts *counters
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	m.counts.bytesIn.Add(uint64(n))
	return n, err
}

func (m *meter) Write(p []byte) (int, error) {
	n, err := m.Conn.Write(p)
	m.counts.bytesOut.Add(uint64(n))
	return n, err
}

// counters only ever grow.
type counters struct {
	bytesIn, bytesOut                                atomic.Uint64
	attempts, connections                            atomic.Uint64
	published, acknowledged, unacknowledged, strayed atomic.Uint64
	received, confirmed, overflowed                  atomic.Uint64
}
