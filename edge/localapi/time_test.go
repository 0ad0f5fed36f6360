package localapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// pipes is a listener whose connections hold nothing that is not read, and know the time
// of a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Net: "pipe"} }

// inBubble runs a server whose clock stands still while something happens.
func inBubble(t *testing.T, n *node, do func(t *testing.T, connect func() net.Conn), token ...string) {
	synctest.Test(t, func(t *testing.T) {
		opts := options(n)
		opts.Socket = "/nowhere"
		s, err := localapi.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range token {
			if err := s.UseToken(text); err != nil {
				t.Fatal(err)
			}
		}
		n.more = make(chan struct{}) // of the bubble
		door := &pipes{make(chan net.Conn), make(chan struct{})}
		s.OpenOn(door)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		do(t, func() net.Conn {
			here, there := net.Pipe()
			door.conns <- there
			t.Cleanup(func() { here.Close() })
			return here
		})
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: got %v", err)
		}
	})
}

// ask begins a stream and reads it to the end, noting what it reads.
func ask(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := fmt.Fprint(conn, "GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

func TestServer_Live_CutsWhoDoesNotRead(t *testing.T) {
	n := newNode()
	inBubble(t, n, func(t *testing.T, connect func() net.Conn) {
		still, good := connect(), connect()
		ask(t, still)
		ask(t, good)
		went := make(chan error, 1)
		go func() { _, err := io.Copy(io.Discard, good); went <- err }()
		began := time.Now()
		n.runNow()
		for {
			time.Sleep(time.Second)
			n.runNow()
			synctest.Wait()
			if _, err := still.Write([]byte("x")); errors.Is(err, io.ErrClosedPipe) {
				break
			}
			if time.Since(began) > time.Minute {
				t.Fatal("it is still there")
			}
		}
		if took := time.Since(began); took < 9*time.Second || took > 12*time.Second {
			t.Errorf("let go after %v, want 10s", took)
		}
		select {
		case err := <-went:
			t.Errorf("who reads was let go too: %v", err)
		default:
		}
		good.Close()
		<-went
	})
}

func TestServer_Live_Time(t *testing.T) {
	t.Run("AliveLine", func(t *testing.T) {
		inBubble(t, newNode(), func(t *testing.T, connect func() net.Conn) {
			conn := connect()
			ask(t, conn)
			began := time.Now()
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				if lines.Text() == ":" {
					break
				}
			}
			if took := time.Since(began); took < 14*time.Second || took > 16*time.Second {
				t.Errorf("after %v", took)
			}
			conn.Close()
		})
	})
	t.Run("NobodyAsksForNobody", func(t *testing.T) {
		n := newNode()
		inBubble(t, n, func(t *testing.T, connect func() net.Conn) {
			conn := connect()
			ask(t, conn)
			if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			asked := func() int { n.mu.Lock(); defer n.mu.Unlock(); return n.asked }
			time.Sleep(3 * time.Second)
			if asked() < 12 {
				t.Errorf("while somebody reads: asked %d times, want 4 a second", asked())
			}
			conn.Close()
			time.Sleep(time.Second)
			before := asked()
			time.Sleep(time.Hour)
			if got := asked(); got != before {
				t.Errorf("when nobody reads: asked %d times", got-before)
			}
		})
	})
	t.Run("FourTimesASecondAtMost", func(t *testing.T) {
		n := newNode()
		inBubble(t, n, func(t *testing.T, connect func() net.Conn) {
			conn := connect()
			ask(t, conn)
			told := make(chan int, 1)
			go func() {
				count := 0
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if strings.HasPrefix(lines.Text(), "event: tasks") {
						count++
					}
				}
				told <- count
			}()
			for i := range 10_000 {
				time.Sleep(time.Millisecond)
				n.runNow(edge.TaskView{ID: fmt.Sprint(i)})
			}
			conn.Close()
			if got := <-told; got < 38 || got > 42 {
				t.Errorf("told %d times in 10s", got)
			}
		})
	})
}

// TestServer_UseToken_Guessing: nobody can try many, and the right one is good again soon.
func TestServer_UseToken_Guessing(t *testing.T) {
	inBubble(t, newNode(), func(t *testing.T, connect func() net.Conn) {
		try := func(token string) int {
			conn := connect()
			defer conn.Close()
			go fmt.Fprintf(conn, "POST /v1/undrain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", token)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			return resp.StatusCode
		}
		tried := 0
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(10 * time.Millisecond) {
			if try("not-it-"+fmt.Sprint(time.Now().UnixNano())) == http.StatusUnauthorized {
				if tried++; tried == 30 {
					if got := try(secret); got != http.StatusTooManyRequests {
						t.Errorf("the right one meanwhile: got %d", got)
					}
				}
			}
		}
		if tried < 60 || tried > 66 {
			t.Errorf("%d tokens were looked at in a minute, want 5 and one a second", tried)
		}
		time.Sleep(2 * time.Second)
		for range 100 {
			if got := try(secret); got != http.StatusOK {
				t.Fatalf("the right one afterwards: got %d", got)
			}
		}
	}, secret)
}
