package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// introduction is how long a client may take to say who it is, TLS included.
	introduction = 10 * time.Second
	// breath is how long to wait after a failed accept: the library would stop
	// listening for good.
	breath = 100 * time.Millisecond
)

// door is a listener that knows who came in: it bounds them, and can show everybody
// out.
type door struct {
	net.Listener
	most   int
	closed chan struct{}
	once   sync.Once

	mu     sync.Mutex // guards inside
	inside map[*guest]struct{}
	all    sync.WaitGroup
}

func newDoor(l net.Listener, most int) *door {
	return &door{Listener: l, most: most, closed: make(chan struct{}), inside: map[*guest]struct{}{}}
}

// Accept returns the next connection there is room for. It fails only when the door
// is shut.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			select {
			case <-d.closed:
				return nil, net.ErrClosed
			case <-time.After(breath):
			}
			continue
		}
		if g := d.admit(conn); g != nil {
			return g, nil
		}
	}
}

func (d *door) admit(conn net.Conn) *guest {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.inside) >= d.most || d.isShut() {
		_ = conn.Close()
		return nil
	}
	_ = conn.SetDeadline(time.Now().Add(introduction)) // a connection that fails this fails reading
	g := &guest{Conn: conn, door: d}
	d.inside[g] = struct{}{}
	d.all.Add(1)
	return g
}

func (d *door) isShut() bool {
	select {
	case <-d.closed:
		return true
	default:
		return false
	}
}

// shut stops listening and closes every connection.
func (d *door) shut() {
	d.once.Do(func() {
		close(d.closed)
		_ = d.Listener.Close() // nothing to do about it
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	for g := range d.inside {
		_ = g.Conn.Close()
	}
}

// wait returns after everybody has left.
func (d *door) wait() { d.all.Wait() }

// guest is a connection that says when it leaves.
type guest struct {
	net.Conn
	door *door
	once sync.Once
}

func (g *guest) Close() error {
	err := g.Conn.Close()
	g.once.Do(func() {
		g.door.mu.Lock()
		delete(g.door.inside, g)
		g.door.mu.Unlock()
		g.door.all.Done()
	})
	return err
}

// check reads the files once, so that a slip is told at the start.
func (t TLS) check() error {
	if t.Certificate == "" {
		return nil
	}
	_, err := t.read()
	return err
}

// config reads the files anew for each connection.
func (t TLS) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.read() },
	}
}

func (t TLS) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
	if err != nil {
		return nil, fmt.Errorf("cannot load certificate %q: %w", t.Certificate, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if t.ClientCA == "" {
		return c, nil
	}
	text, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("cannot read certificates of authority: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("cannot read certificates of authority %q: it holds none", t.ClientCA)
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c, nil
}
