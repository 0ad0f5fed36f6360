package rawconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge/rawconn"
)

// late is a connection that takes late, and its plain peer.
func late(t *testing.T) (raw *rawconn.Unix, peer *net.UnixConn) {
	t.Helper()
	conn, other := pair(t, "unix")
	raw = conn.(*rawconn.Unix)
	raw.TakeLate()
	return raw, other.(*net.UnixConn)
}

// untaken is how much of what the peer has written is still in the socket.
func untaken(t *testing.T, peer *net.UnixConn) (n int) {
	t.Helper()
	raw, err := peer.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUnix_TakeLate(t *testing.T) {
	t.Run("ManyExchanges", func(t *testing.T) {
		raw, peer := late(t)
		for _, size := range []int{1, 100, 1024, 1025, 4095, 4096, 4097, 10_000, 100_000} {
			question := bytes.Repeat([]byte{byte(size)}, size)
			go func() { _, _ = peer.Write(question) }()
			for _, side := range []io.ReadWriter{raw, peer} {
				got := make([]byte, size)
				if _, err := io.ReadFull(side, got); err != nil || !bytes.Equal(got, question) {
					t.Fatalf("%d bytes were not what was sent (%v)", size, err)
				}
				if side == raw {
					go func() { _, _ = raw.Write(got) }()
				}
			}
		}
	})
	t.Run("InSmallParts", func(t *testing.T) {
		raw, peer := late(t)
		_, _ = peer.Write([]byte("abc"))
		_, _ = peer.Write([]byte("defg"))
		got := make([]byte, 7)
		for i := range got {
			if _, err := raw.Read(got[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if string(got) != "abcdefg" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("TakenByWrite", func(t *testing.T) {
		raw, peer := late(t)
		_, _ = peer.Write([]byte("question"))
		_, _ = raw.Read(make([]byte, 100))
		if _, err := raw.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		if n := untaken(t, peer); n != 0 {
			t.Errorf("%d bytes are still in the socket", n)
		}
	})
	t.Run("TakenByClose", func(t *testing.T) {
		raw, peer := late(t)
		_, _ = peer.Write([]byte("question"))
		_, _ = raw.Read(make([]byte, 100))
		raw.Close()
		if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the peer: got %v, want EOF", err)
		}
	})
	t.Run("UnreadBreaks", func(t *testing.T) { // what the case before would be otherwise
		raw, peer := late(t)
		_, _ = peer.Write([]byte("question"))
		raw.Close()
		if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the peer: got %v, want a reset", err)
		}
	})
}

func TestUnix_Gone(t *testing.T) {
	cases := map[string]struct {
		happen func(raw *rawconn.Unix, peer *net.UnixConn)
		want   bool
	}{
		"Closed":   {func(_ *rawconn.Unix, peer *net.UnixConn) { peer.Close() }, true},
		"Half":     {func(_ *rawconn.Unix, peer *net.UnixConn) { _ = peer.CloseWrite() }, true},
		"Speaks":   {func(_ *rawconn.Unix, peer *net.UnixConn) { _, _ = peer.Write([]byte("x")) }, false},
		"Deadline": {func(raw *rawconn.Unix, _ *net.UnixConn) { _ = raw.SetReadDeadline(time.Unix(1, 0)) }, false},
		"Close":    {func(raw *rawconn.Unix, _ *net.UnixConn) { raw.Close() }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			raw, peer := late(t)
			_, _ = peer.Write([]byte("question"))
			_, _ = raw.Read(make([]byte, 100)) // which stays in the socket
			gone := make(chan bool)
			go func() { gone <- raw.Gone() }()
			c.happen(raw, peer)
			if got := <-gone; got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestUnix_Close(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := open()
	t.Run("Connections", func(t *testing.T) {
		for range 20 {
			raw, _ := pair(t, "unix")
			_ = raw.SetWriteDeadline(time.Now().Add(time.Millisecond))
			_, _ = raw.Write(make([]byte, 1<<20)) // full, so that it waits for room
			if err := raw.Close(); err != nil {
				t.Errorf("got %v", err)
			}
			if err := raw.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a second time: got %v", err)
			}
			if _, err := raw.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("writing afterwards: got %v", err)
			}
		}
	})
	if after := open(); after > before {
		t.Errorf("%d descriptors are left", after-before)
	}
}
