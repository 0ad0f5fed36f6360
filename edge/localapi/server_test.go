package localapi_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

func TestNew_Refuses(t *testing.T) {
	cases := map[string]func(*localapi.Options){
		"NoListener":   func(o *localapi.Options) { o.Socket = "" },
		"AllAddresses": func(o *localapi.Options) { o.Listen = ":8080" },
		"Elsewhere":    func(o *localapi.Options) { o.Listen = "192.0.2.1:8080" },
		"NoPort":       func(o *localapi.Options) { o.Listen = "127.0.0.1" },
		"LongSocket":   func(o *localapi.Options) { o.Socket = "/" + strings.Repeat("a", 107) },
		"SmallFlight":  func(o *localapi.Options) { o.MaxBody, o.MaxInFlight = 10, 9 },
		"NoModels":     func(o *localapi.Options) { o.Models = nil },
		"Negative":     func(o *localapi.Options) { o.MaxConns = -1 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			opts := options(newNode())
			opts.Socket = "/tmp/x.sock"
			if _, err := localapi.New(opts); err != nil {
				t.Fatalf("without the change: got %v", err)
			}
			change(&opts)
			if _, err := localapi.New(opts); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestServer_Open(t *testing.T) {
	t.Run("Permissions", func(t *testing.T) {
		r := start(t, newNode())
		info, err := os.Stat(r.socket)
		if err != nil || info.Mode().Perm() != 0o660 {
			t.Errorf("socket: got %v, %v", info.Mode(), err)
		}
		folder, err := os.Stat(filepath.Dir(r.socket))
		if err != nil || folder.Mode().Perm() != 0o755 {
			t.Errorf("folder: got %v, %v", folder.Mode(), err)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(r.socket); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("afterwards: got %v", err)
		}
	})
	t.Run("StaleSocketIsReplaced", func(t *testing.T) {
		path := filepath.Join(socketDir(t), "api.sock")
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		stale.Close()
		r := start(t, newNode(), func(o *localapi.Options) { o.Socket = path })
		r.socket = path
		if err := r.client(t).Ready(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("LiveSocketIsLeft", func(t *testing.T) {
		r := start(t, newNode())
		second := open(t, r.socket)
		if err := second.Open(); !errors.Is(err, edge.ErrLocked) || edge.HintOf(err) == "" {
			t.Errorf("got %v", err)
		}
		second.Close()
		if err := r.client(t).Ready(t.Context()); err != nil {
			t.Errorf("the first: got %v", err)
		}
	})
	t.Run("FileIsLeft", func(t *testing.T) {
		path := filepath.Join(socketDir(t), "notes")
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(t, path).Open(); !errors.Is(err, edge.ErrExists) {
			t.Errorf("got %v", err)
		}
		if text, err := os.ReadFile(path); string(text) != "mine" {
			t.Errorf("the file: got %q, %v", text, err)
		}
	})
	t.Run("PortInUseLeavesNoSocket", func(t *testing.T) {
		r := start(t, newNode())
		opts := options(newNode())
		opts.Socket, opts.Listen = filepath.Join(socketDir(t), "x.sock"), r.server.Addr()
		s, err := localapi.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Open(); err == nil {
			t.Error("got no error")
		}
		if _, err := os.Stat(opts.Socket); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("socket: got %v", err)
		}
	})
	t.Run("CloseWithoutRun", func(t *testing.T) {
		s := open(t, filepath.Join(socketDir(t), "x.sock"))
		if err := s.Open(); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s.Close()
	})
}

// open makes a server for one socket, not opened yet.
func open(t *testing.T, path string) *localapi.Server {
	t.Helper()
	opts := options(newNode())
	opts.Socket = path
	s, err := localapi.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServer_Run_StopsInOrder(t *testing.T) {
	t.Run("RequestsInsideEnd", func(t *testing.T) {
		n := newNode()
		inside, let := make(chan struct{}), make(chan struct{})
		n.infer = func(_ context.Context, task edge.Task) edge.Settlement {
			close(inside)
			<-let
			return completed(task, sum(1))
		}
		r := start(t, n)
		client := r.client(t)
		answered := make(chan error, 1)
		go func() {
			_, err := client.Infer(context.Background(), "digits", edge.Payload{Body: []byte(question)}, localapi.InferOptions{})
			answered <- err
		}()
		<-inside
		stopped := make(chan error, 1)
		go func() { stopped <- r.stop() }()
		for client := r.port(t); client.Ready(t.Context()) == nil; {
			client.Close() // a new connection each time, until none is taken
		}
		close(let)
		if err := <-answered; err != nil {
			t.Errorf("the request inside: got %v", err)
		}
		if err := <-stopped; err != nil {
			t.Errorf("run: got %v", err)
		}
	})
	t.Run("StuckRequestsAreCut", func(t *testing.T) {
		n := newNode()
		inside := make(chan struct{})
		var ended atomic.Bool
		n.infer = func(ctx context.Context, task edge.Task) edge.Settlement {
			close(inside)
			<-ctx.Done()
			<-time.After(50 * time.Millisecond) // what is left to tidy up
			ended.Store(true)
			return edge.Settlement{Task: task, Outcome: edge.Cancelled, Err: edge.ErrCancelled}
		}
		r := start(t, n)
		client := r.client(t)
		answered := make(chan error, 1)
		go func() {
			_, err := client.Infer(context.Background(), "digits", edge.Payload{Body: []byte(question)}, localapi.InferOptions{})
			answered <- err
		}()
		<-inside
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Errorf("run: got %v", err)
		}
		if !ended.Load() {
			t.Error("run returned before the request had ended")
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if err := <-answered; !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("the request inside: got %v", err)
		}
	})
}

func TestServer_Run_EndsADrain(t *testing.T) {
	n := newNode()
	inside := make(chan struct{})
	n.drains = func(ctx context.Context) error {
		close(inside)
		<-ctx.Done()
		return ctx.Err()
	}
	r := start(t, n)
	client := r.client(t)
	answered := make(chan error, 1)
	go func() { answered <- client.Drain(context.Background()) }()
	<-inside
	if err := r.stop(); err != nil {
		t.Errorf("run: got %v", err)
	}
	if err := <-answered; !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("drain: got %v", err)
	}
}
