package rawconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/edge/rawconn"
)

// pair is a connection of this package and its plain peer.
func pair(t *testing.T, network string) (raw, peer net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if peer, err = net.Dial(network, listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	raw = rawconn.Of(accepted)
	if raw == accepted {
		t.Fatal("a socket came back as it was")
	}
	t.Cleanup(func() { raw.Close(); peer.Close() })
	return raw, peer
}

func TestConn(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			t.Run("MoreThanTheSocketHolds", func(t *testing.T) { echoes(t, network) })
			t.Run("Ends", func(t *testing.T) { ends(t, network) })
			t.Run("Deadlines", func(t *testing.T) { deadlines(t, network) })
			t.Run("CloseWakesReader", func(t *testing.T) { closes(t, network) })
			t.Run("ManyWriters", func(t *testing.T) { manyWriters(t, network) })
		})
	}
}

func echoes(t *testing.T, network string) {
	raw, peer := pair(t, network)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _, _ = io.Copy(peer, peer) })
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	wg.Go(func() {
		if n, err := raw.Write(sent); n != len(sent) || err != nil {
			t.Errorf("wrote %d, %v; want %d", n, err, len(sent))
		}
	})
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(raw, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("what came back differs (%v)", err)
	}
	raw.Close()
}

func ends(t *testing.T, network string) {
	raw, peer := pair(t, network)
	if n, err := raw.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing: got %d, %v", n, err)
	}
	if err := raw.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the peer of a closed half: got %v, want EOF", err)
	}
	if _, err := raw.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing to a closed half: got %v, want EPIPE", err)
	}
	peer.Close()
	if n, err := raw.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("reading: got %d, %v, want EOF", n, err)
	}
}

func deadlines(t *testing.T, network string) {
	raw, _ := pair(t, network)
	if err := raw.SetDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := raw.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading: got %v, want a timeout", err)
	}
	much := make([]byte, 64<<20) // nobody reads, and no socket holds so much
	if err := raw.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := raw.Write(much)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(much) {
		t.Errorf("writing: got %d, %v, want part of it and a timeout", n, err)
	}
}

func closes(t *testing.T, network string) {
	raw, _ := pair(t, network)
	ended := make(chan error)
	go func() {
		_, err := raw.Read(make([]byte, 1))
		ended <- err
	}()
	raw.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want closed", err)
	}
}

func manyWriters(t *testing.T, network string) {
	raw, peer := pair(t, network)
	const writers, each = 1000, 64
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			if _, err := raw.Write(bytes.Repeat([]byte{byte(i)}, each)); err != nil {
				t.Errorf("cannot write: %v", err)
			}
		})
	}
	for range writers {
		got := make([]byte, each)
		if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, bytes.Repeat(got[:1], each)) {
			t.Fatalf("writes were mixed: %x (%v)", got, err)
		}
	}
	wg.Wait()
}

func TestOf_LeavesOthersAsTheyAre(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got := rawconn.Of(a); got != a {
		t.Errorf("got %T, want the pipe itself", got)
	}
}
