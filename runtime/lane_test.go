package runtime

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/edge/oip"
)

// socketDir is a folder with a path short enough for sockets.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lane")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// script serves one connection after another with the given functions, each of
// which gets a whole request's head and body, and may say no more.
func script(t testing.TB, socket string, connections ...func(conn net.Conn, in *bufio.Reader)) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { listener.Close(); wg.Wait() })
	wg.Go(func() {
		for _, serve := range connections {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn, bufio.NewReader(conn))
			conn.Close()
		}
		listener.Close()
	})
}

// take reads a whole request.
func take(in *bufio.Reader) string {
	r, err := http.ReadRequest(in)
	if err != nil {
		return ""
	}
	body, _ := io.ReadAll(r.Body)
	return string(body)
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func answer(conn net.Conn, in *bufio.Reader) {
	take(in)
	_, _ = io.WriteString(conn, ok)
}

func TestLane_do(t *testing.T) {
	newLane := func(t *testing.T, connections ...func(net.Conn, *bufio.Reader)) *lane {
		socket := filepath.Join(socketDir(t), "s")
		script(t, socket, connections...)
		l := &lane{socket: socket, dial: dialSocket}
		t.Cleanup(l.close)
		return l
	}
	post := request{path: "/x", body: []byte("body"), limit: 1 << 20}

	t.Run("KeepsItsConnection", func(t *testing.T) {
		l := newLane(t, func(conn net.Conn, in *bufio.Reader) {
			for range 3 {
				answer(conn, in)
			}
		})
		for range 3 {
			if got, err := l.do(post, time.Minute); err != nil || string(got.body) != "ok" {
				t.Errorf("got %q, %v; want ok", got.body, err)
			}
		}
	})
	t.Run("StaleConnectionIsReplaced", func(t *testing.T) {
		closed := make(chan struct{})
		l := newLane(t, func(conn net.Conn, in *bufio.Reader) {
			answer(conn, in)
			conn.Close()
			close(closed)
		}, answer)
		for range 2 {
			if got, err := l.do(post, time.Minute); err != nil || string(got.body) != "ok" {
				t.Errorf("got %q, %v; want ok", got.body, err)
			}
			<-closed
		}
	})
	t.Run("WhatMayHaveBeenReadIsNotRepeated", func(t *testing.T) {
		seen := make(chan string, 2)
		l := newLane(t, func(conn net.Conn, in *bufio.Reader) {
			answer(conn, in)
			seen <- take(in) // and no word of it
		}, func(conn net.Conn, in *bufio.Reader) { seen <- take(in) })
		if _, err := l.do(post, time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := l.do(post, time.Minute); err == nil || err.kind != wireBroken {
			t.Errorf("got %v, want a broken connection", err)
		}
		if got := len(seen); got != 1 {
			t.Errorf("the server saw it %d times, want once", got)
		}
	})
	t.Run("UnreadRequestOnAFreshConnectionFails", func(t *testing.T) {
		l := newLane(t, func(conn net.Conn, in *bufio.Reader) { _, _ = in.ReadByte() }, answer)
		big := request{path: "/x", body: make([]byte, 8<<20), limit: 1 << 20}
		if _, err := l.do(big, time.Minute); err == nil || err.kind != wireUnsent {
			t.Errorf("got %v, want unsent", err)
		}
	})
	t.Run("EarlyRefusalIsHeard", func(t *testing.T) {
		l := newLane(t, func(conn net.Conn, in *bufio.Reader) {
			_, _ = in.ReadString('\n')
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		})
		big := request{path: "/x", body: make([]byte, 8<<20), limit: 1 << 20}
		if got, err := l.do(big, time.Minute); err != nil || got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d, %v; want 413", got.status, err)
		}
	})
	t.Run("LargeBodiesBothWays", func(t *testing.T) {
		l := newLane(t, func(conn net.Conn, in *bufio.Reader) {
			body := take(in)
			_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n"+body+"\r\n0\r\n\r\n")
		})
		big := request{path: "/x", body: []byte(strings.Repeat("x", 8<<20)), limit: 8 << 20}
		if got, err := l.do(big, time.Minute); err != nil || len(got.body) != 8<<20 {
			t.Errorf("got %d bytes, %v; want %d", len(got.body), err, 8<<20)
		}
	})
	t.Run("OverTheLimit", func(t *testing.T) {
		l := newLane(t, func(conn net.Conn, in *bufio.Reader) {
			take(in)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n"+strings.Repeat("x", 8<<20)+"\r\n0\r\n\r\n")
		})
		if _, err := l.do(post, time.Minute); err == nil || err.kind != wireBad || !errors.Is(err, errTooMuch) {
			t.Errorf("got %v, want too much", err)
		}
	})
	t.Run("NobodyListens", func(t *testing.T) {
		l := &lane{socket: filepath.Join(socketDir(t), "none"), dial: dialSocket}
		if _, err := l.do(post, time.Minute); err == nil || err.kind != wireUnreached || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want unreached", err)
		}
	})
	t.Run("Hangs", func(t *testing.T) {
		release := make(chan struct{})
		l := newLane(t, func(conn net.Conn, in *bufio.Reader) { take(in); <-release })
		defer close(release)
		if _, err := l.do(post, 20*time.Millisecond); err == nil || err.kind != wireHung {
			t.Errorf("got %v, want hung", err)
		}
	})
	t.Run("AbortEndsIt", func(t *testing.T) {
		taken, release := make(chan struct{}), make(chan struct{})
		l := newLane(t, func(conn net.Conn, in *bufio.Reader) { take(in); close(taken); <-release })
		defer close(release)
		go func() { <-taken; l.abort() }()
		if _, err := l.do(post, time.Minute); err == nil || err.kind != wireBroken {
			t.Errorf("got %v, want broken", err)
		}
		if _, err := l.do(post, time.Minute); err == nil || err.kind != wireUnreached {
			t.Errorf("afterwards: got %v, want unreached", err)
		}
	})
}

func TestDialSocket(t *testing.T) {
	dir := socketDir(t)
	socket := filepath.Join(dir, "s")
	script(t, socket, func(net.Conn, *bufio.Reader) {})

	t.Run("RefusesLinks", func(t *testing.T) {
		link := filepath.Join(dir, "link")
		if err := os.Symlink(socket, link); err != nil {
			t.Fatal(err)
		}
		if _, err := dialSocket(context.Background(), link); err == nil {
			t.Error("through a symbolic link: got a connection, want an error")
		}
	})
	t.Run("RefusesFiles", func(t *testing.T) {
		file := filepath.Join(dir, "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := dialSocket(context.Background(), file); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("got %v, want not a socket", err)
		}
	})
	t.Run("LongPath", func(t *testing.T) {
		long := filepath.Join(dir, strings.Repeat("d", 120))
		if err := os.Mkdir(long, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(socket, filepath.Join(long, "s")); err != nil {
			t.Fatal(err)
		}
		conn, err := dialSocket(context.Background(), filepath.Join(long, "s"))
		if err != nil {
			t.Fatalf("past the length of a socket address: %v", err)
		}
		conn.Close()
	})
}

func FuzzReadMetadata(f *testing.F) {
	f.Add([]byte(`{"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":[-1,64]}],"outputs":[{"name":"y","datatype":"INT64","shape":[1]}]}`))
	f.Add([]byte(`{"name":"m","inputs":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		meta, err := readMetadata("m", reply{status: 200, body: body})
		if err == nil && (meta.Name != "m" || len(meta.Inputs) == 0 || len(meta.Outputs) == 0) {
			t.Errorf("accepted %q as %+v", body, meta)
		}
	})
}

func FuzzHeaderLength(f *testing.F) {
	f.Add("12", 20)
	f.Add("-1", 20)
	f.Add("99999999999999999999", 20)
	f.Fuzz(func(t *testing.T, text string, body int) {
		if got, err := headerLength(text, body); err == nil && got != 0 && (got < 0 || got > body) {
			t.Errorf("%q in %d bytes: got %d", text, body, got)
		}
	})
}

// FuzzPlainHead holds that what is read the short way is what net/http reads.
func FuzzPlainHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 400 Bad\r\ncontent-length:  2 \r\nINFERENCE-HEADER-CONTENT-LENGTH: 1\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 \nContent-Length: 2\r\n Content-Length: 3\r\n\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, size := plainHead(text)
		if size == 0 {
			return
		}
		in := bufio.NewReader(bytes.NewReader(text))
		want, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		if got.status != want.StatusCode || got.length != want.ContentLength || got.last != want.Close ||
			got.headerLength != want.Header.Get(oip.HeaderLengthField) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if rest := len(text) - size; in.Buffered() != rest && len(text) < 4096 {
			t.Errorf("got %d bytes behind the head, want %d", rest, in.Buffered())
		}
	})
}

func TestPlainHead(t *testing.T) {
	const body = "Content-Length: 2\r\n\r\n"
	for name, c := range map[string]struct {
		text  string
		short bool
	}{
		"Usual":        {"HTTP/1.1 200 OK\r\nDate: today\r\n" + body, true},
		"OtherCase":    {"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n", true},
		"Unfinished":   {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", false},
		"NoLength":     {"HTTP/1.1 200 OK\r\nDate: today\r\n\r\n", false},
		"TwoLengths":   {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + body, false},
		"Chunked":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + body, false},
		"Closing":      {"HTTP/1.1 200 OK\r\nConnection: close\r\n" + body, false},
		"OldVersion":   {"HTTP/1.0 200 OK\r\n" + body, false},
		"Informing":    {"HTTP/1.1 100 Continue\r\n" + body, false},
		"WithoutBody":  {"HTTP/1.1 204 None\r\n" + body, false},
		"Folded":       {"HTTP/1.1 200 OK\r\nDate: a\r\n b: c\r\n" + body, false},
		"BareNewline":  {"HTTP/1.1 200 OK\r\nDate: a\nb\r\n" + body, false},
		"NotANumber":   {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n", false},
		"Nothing":      {"\r\n\r\n", false},
		"StatusAlone":  {"HTTP/1.1 200 OK\r\n\r\n", false},
		"NoFieldName":  {"HTTP/1.1 200 OK\r\n: 1\r\n" + body, false},
		"NoHTTPAtAll":  {"SSH-2.0-x\r\n" + body, false},
		"LongerStatus": {"HTTP/1.1 2000 OK\r\n" + body, false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, size := plainHead([]byte(c.text)); size > 0 != c.short {
				t.Errorf("got size %d, want read the short way: %v", size, c.short)
			}
		})
	}
}

func TestPollAfter(t *testing.T) {
	for starting, want := range map[time.Duration]time.Duration{
		0: 2 * time.Millisecond, 80 * time.Millisecond: 10 * time.Millisecond, time.Hour: 250 * time.Millisecond,
	} {
		if got := pollAfter(starting); got != want {
			t.Errorf("after %v: got %v, want %v", starting, got, want)
		}
	}
}
