package broker_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/mqtt/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run serves until the test ends.
func run(tb testing.TB, o broker.Options) (b *broker.Broker, host, port string) {
	tb.Helper()
	if len(o.Listen) == 0 {
		o.Listen = []broker.Listener{{Address: "127.0.0.1:0"}}
	}
	b, err := broker.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.Open(); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run returned %v, want nil", err)
		}
	})
	host, port, _ = net.SplitHostPort(b.Addresses()[0].String())
	return b, host, port
}

// say runs mosquitto_pub and tells how it ended.
func say(host, port string, more ...string) error {
	out, err := exec.Command("mosquitto_pub", append([]string{"-h", host, "-p", port, "-q", "1"}, more...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mosquitto_pub: %w: %s", err, out)
	}
	return nil
}

// hear runs mosquitto_sub for one message.
func hear(host, port string, more ...string) (string, error) {
	out, err := exec.Command("mosquitto_sub", append([]string{"-h", host, "-p", port, "-C", "1", "-W", "1"}, more...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestBroker_MosquittoClients(t *testing.T) {
	b, host, port := run(t, broker.Options{Anonymous: true})
	if err := say(host, port, "-t", "a", "-m", "kept", "-r"); err != nil {
		t.Fatal(err)
	}
	if got, err := hear(host, port, "-t", "a"); err != nil || got != "kept" {
		t.Errorf("heard %q, %v; want kept", got, err)
	}
	if got := b.Counts(); got.Retained < 1 || got.Received != 1 {
		t.Errorf("counts are %+v, want the message received and retained", got)
	}
}

func TestBroker_Passwords(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", users, "theirs", "right").CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	line, err := broker.HashPassword("ours", "right")
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, users, line+"\n")
	_, host, port := run(t, broker.Options{Users: users})
	appendTo(t, users, "broken:$6$x\n")
	for _, test := range []struct {
		user, password string
		in             bool
	}{
		{"theirs", "right", true}, {"ours", "right", true}, {"ours", "wrong", false}, {"ours", "", false},
		{"nobody", "right", false}, {"broken", "x", false},
	} {
		err := say(host, port, "-t", "a", "-m", "x", "-u", test.user, "-P", test.password)
		if (err == nil) != test.in {
			t.Errorf("%s with %q: %v, want let in %v", test.user, test.password, err, test.in)
		}
	}
	if err := say(host, port, "-t", "a", "-m", "x"); err == nil {
		t.Error("anonymous was let in")
	}
	late, err := broker.HashPassword("late", "right")
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, users, late+"\n")
	if err := say(host, port, "-t", "a", "-m", "x", "-u", "late", "-P", "right"); err != nil {
		t.Errorf("who was added later is not let in: %v", err)
	}
	if err := os.Remove(users); err != nil {
		t.Fatal(err)
	}
	if err := say(host, port, "-t", "a", "-m", "x", "-u", "ours", "-P", "right"); err == nil {
		t.Error("without a password file somebody was let in")
	}
}

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestBroker_Access(t *testing.T) {
	_, host, port := run(t, broker.Options{Anonymous: true, Access: func(c broker.Client, topic string, write bool) bool {
		return topic == "open" || topic == "inbox/"+c.ID && !write
	}})
	if err := say(host, port, "-i", "a", "-t", "open", "-m", "x", "-r"); err != nil {
		t.Errorf("publishing where it is allowed: %v", err)
	}
	if err := say(host, port, "-i", "a", "-t", "inbox/a", "-m", "x"); err == nil {
		t.Error("publishing where only reading is allowed went through")
	}
	if got, err := hear(host, port, "-i", "a", "-t", "open"); err != nil || got != "x" {
		t.Errorf("heard %q, %v; want x", got, err)
	}
	if got, _ := hear(host, port, "-i", "a", "-t", "inbox/b"); !strings.Contains(got, "denied") {
		t.Errorf("subscribing to another's inbox gave %q, want that it is denied", got)
	}
}

// TestBroker_Wills: a will is held against what its client may say itself.
func TestBroker_Wills(t *testing.T) {
	log := make(logbook, 64)
	_, host, port := run(t, broker.Options{
		Anonymous: true, Log: slog.New(slog.NewTextHandler(log, nil)),
		Access: func(_ broker.Client, topic string, write bool) bool {
			return topic == "open" || topic == "mine/presence" || !write
		},
	})
	for topic, in := range map[string]bool{"mine/presence": true, "theirs/down/policy": false, "$SYS/x": false} {
		err := leave(t, host, port, topic)
		if (err == nil) != in {
			t.Errorf("a will on %s: %v, want let in %v", topic, err, in)
		}
		if !in && !strings.Contains(fmt.Sprint(err), "not authorised") {
			t.Errorf("a will on %s is refused with %v, want that it is not authorised", topic, err)
		}
	}
	if got, err := hear(host, port, "-t", "mine/presence"); err != nil || got != "gone" {
		t.Errorf("the will that was allowed says %q, %v; want gone", got, err)
	}
	if got, err := hear(host, port, "-t", "theirs/down/policy"); err == nil {
		t.Errorf("the will that was not allowed was published: %q", got)
	}
	if got := <-log; !strings.Contains(got, "client refused for its will") {
		t.Errorf("the log says %q, want that it tells of the refusal", got)
	}
}

// logbook holds the lines of a log.
type logbook chan string

func (l logbook) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// leave connects with a retained will and is killed when it has heard a message.
func leave(t *testing.T, host, port, topic string) error {
	t.Helper()
	if err := say(host, port, "-t", "open", "-m", "x", "-r"); err != nil {
		t.Fatal(err)
	}
	client := exec.Command("mosquitto_sub", "-h", host, "-p", port, "-q", "1", "-t", "open", "--will-topic", topic, "--will-payload", "gone", "--will-retain", "--will-qos", "1")
	var said bytes.Buffer
	client.Stderr = &said
	heard, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	n, _ := heard.Read(make([]byte, 1)) // nothing when it was turned away
	_ = client.Process.Kill()
	err = client.Wait()
	if n > 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", err, said.String())
}

// TestBroker_WillBounds: a will has the bounds of a message.
func TestBroker_WillBounds(t *testing.T) {
	_, host, port := run(t, broker.Options{Anonymous: true, MaxPacket: 1000, MaxRetained: 64})
	if err := say(host, port, "-t", "a", "-m", "x", "--will-topic", "w", "--will-payload", strings.Repeat("x", 2000)); err == nil {
		t.Error("a will of 2,000 bytes was taken, 1,000 are allowed")
	}
	for i := range 64 {
		if err := say(host, port, "-t", cmp.Or(map[int]string{0: "open"}[i], fmt.Sprint("r/", i)), "-m", "x", "-r"); err != nil {
			t.Fatal(err)
		}
	}
	if err := leave(t, host, port, "w"); err != nil {
		t.Fatal(err)
	}
	if got, err := hear(host, port, "-t", "w"); err == nil {
		t.Errorf("a will beyond the bound of retained messages was kept: %q", got)
	}
	conn := dial(t, host, port)
	// CONNECT with a will of QoS 3, which is none
	if _, err := conn.Write([]byte{0x10, 19, 0, 4, 'M', 'Q', 'T', 'T', 4, 0x1e, 0, 60, 0, 1, 'q', 0, 1, 'w', 0, 1, 'x'}); err != nil {
		t.Fatal(err)
	}
	if ended(conn) == nil {
		t.Error("a will of QoS 3 was taken")
	}
}

func TestBroker_Bounds(t *testing.T) {
	t.Run("Connections", func(t *testing.T) {
		_, host, port := run(t, broker.Options{Anonymous: true, MaxConnections: 2})
		held := []net.Conn{dial(t, host, port), dial(t, host, port)}
		if ended(dial(t, host, port)) == nil {
			t.Error("a third connection was kept, two are allowed")
		}
		_ = held[0].Close()
		for say(host, port, "-t", "a", "-m", "x") != nil { // until the broker has noticed
			if t.Context().Err() != nil {
				t.Fatal("the place was not given back")
			}
		}
	})
	t.Run("Sessions", func(t *testing.T) {
		_, host, port := run(t, broker.Options{Anonymous: true, MaxSessions: 2})
		for i := range 4 {
			_, err := hear(host, port, "-i", fmt.Sprint("s", i), "-c", "-q", "1", "-t", "a", "-E")
			if (err == nil) != (i < 2) {
				t.Errorf("session %d: %v, want two", i, err)
			}
		}
		if _, err := hear(host, port, "-i", "s1", "-c", "-q", "1", "-t", "a", "-E"); err != nil {
			t.Errorf("a known session cannot come back: %v", err)
		}
	})
	t.Run("Packets", func(t *testing.T) {
		_, host, port := run(t, broker.Options{Anonymous: true, MaxPacket: 1000})
		if err := say(host, port, "-t", "a", "-m", strings.Repeat("x", 2000)); err == nil {
			t.Error("a packet of 2,000 bytes went through, 1,000 are allowed")
		}
	})
	t.Run("Retained", func(t *testing.T) {
		b, host, port := run(t, broker.Options{Anonymous: true, MaxRetained: 64})
		for i := range 100 {
			if i%25 == 0 || i > 90 {
				continue // so that replacing is tried as well
			}
			if err := say(host, port, "-t", fmt.Sprint("r/", i), "-m", "x", "-r"); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.Counts().Retained; got > 64 {
			t.Errorf("%d messages are retained, 64 are allowed", got)
		}
	})
	t.Run("Introduction", func(t *testing.T) {
		_, host, port := run(t, broker.Options{Anonymous: true})
		conn := dial(t, host, port)
		if _, err := conn.Write([]byte{0x30, 0}); err != nil {
			t.Fatal(err)
		}
		if ended(conn) == nil {
			t.Error("who did not introduce itself was kept")
		}
	})
}

func dial(t *testing.T, host, port string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ended reads until the broker hangs up; nil when it does not.
func ended(conn net.Conn) error {
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, err := io.Copy(io.Discard, conn)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return nil
	}
	return io.EOF
}

// TestBroker_Garbage: whatever bytes come, the broker goes on for the others.
func TestBroker_Garbage(t *testing.T) {
	_, host, port := run(t, broker.Options{Anonymous: true})
	chance := rand.New(rand.NewPCG(1, 2))
	hello := []byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'g'}
	for round := range 300 {
		conn := dial(t, host, port)
		if round%2 == 0 {
			_, _ = conn.Write(hello)
		}
		junk := make([]byte, 1+chance.IntN(200))
		for i := range junk {
			junk[i] = byte(chance.Uint32())
		}
		junk[0] = byte(1+chance.IntN(15))<<4 | byte(chance.IntN(16))
		_, _ = conn.Write(junk)
		_ = conn.Close()
	}
	if err := say(host, port, "-t", "a", "-m", "x"); err != nil {
		t.Errorf("after the garbage: %v", err)
	}
}

func TestNew(t *testing.T) {
	listen := []broker.Listener{{Address: "127.0.0.1:0"}}
	for name, o := range map[string]broker.Options{
		"NoListener":     {Anonymous: true},
		"NobodyCouldIn":  {Listen: listen},
		"KeyMissing":     {Anonymous: true, Listen: []broker.Listener{{TLS: broker.TLS{Certificate: "c"}}}},
		"AuthorityAlone": {Anonymous: true, Listen: []broker.Listener{{TLS: broker.TLS{ClientCA: "c"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := broker.New(o); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("New returned %v, want that the options are invalid", err)
			}
		})
	}
}

// TestBroker_Users: a password file that is of no use is told of at the start.
func TestBroker_Users(t *testing.T) {
	good, err := broker.HashPassword("ours", "right")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"Good": {"# ours\n\n" + good + "\n", ""}, "Empty": {"", ""},
		"Garbage": {good + "\nhello\n", "line 2"}, "OldHash": {"x:$6$a$b\n", "line 1"}, "NoName": {good[4:] + "\n", "line 1"},
		"Binary": {"\x00\x01\x02\n", "line 1"}, "Huge": {strings.Repeat("#\n", 1<<20), "bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(folder, name)
			appendTo(t, file, c.text)
			err := openWith(t, file)
			if c.want == "" && err != nil {
				t.Fatalf("Open = %v, want nil", err)
			}
			if c.want != "" && (!errors.Is(err, edge.ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file)) {
				t.Errorf("Open = %v, want that %s is invalid, %s", err, file, c.want)
			}
		})
	}
	t.Run("Missing", func(t *testing.T) {
		if err := openWith(t, filepath.Join(folder, "none")); !errors.Is(err, edge.ErrInvalid) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Open = %v, want that the file does not exist", err)
		}
	})
}

func openWith(t *testing.T, users string) error {
	t.Helper()
	b, err := broker.New(broker.Options{Listen: []broker.Listener{{Address: "127.0.0.1:0"}}, Users: users})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Open()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	return err
}

func TestBroker_Open(t *testing.T) {
	_, host, port := run(t, broker.Options{Anonymous: true})
	taken, err := broker.New(broker.Options{Anonymous: true, Listen: []broker.Listener{{Address: "127.0.0.1:0"}, {Address: net.JoinHostPort(host, port)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := taken.Open(); err == nil {
		t.Error("Open returned nil on an address that is taken")
	}
	if _, err := broker.HashPassword("a:b", "x"); err == nil {
		t.Error("HashPassword took a name with a colon")
	}
}
