package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bounds on what a connection may cost.
const (
	headerWithin = 5 * time.Second // to send a request's headers
	idleFor      = 2 * time.Minute // between two requests on one connection
	drainFor     = 5 * time.Second // for requests in flight when the server ends
	checkWithin  = 2 * time.Second // for a health check to be answered
)

// split parses unix:///run/model/model.sock, tcp://host:port or host:port.
func split(address string) (network, target string, err error) {
	scheme, rest, ok := strings.Cut(address, "://")
	switch {
	case !ok:
		return "tcp", address, nil
	case scheme == "tcp" && rest != "":
		return "tcp", rest, nil
	case scheme == "unix" && strings.HasPrefix(rest, "/"):
		return "unix", rest, nil
	}
	return "", "", fmt.Errorf("cannot use address %q: want unix:///path or tcp://host:port", address)
}

// Listen opens the address. The socket of a server that has died is taken over,
// that of a living one is not.
func Listen(address string) (net.Listener, error) {
	network, target, err := split(address)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		if err := clearSocket(target); err != nil {
			return nil, fmt.Errorf("cannot listen on %q: %w", address, err)
		}
	}
	listener, err := net.Listen(network, target)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", address, err)
	}
	return listener, nil
}

// clearSocket removes a socket nobody answers on; anything else is left alone.
func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("it is there and no socket")
	}
	conn, err := net.DialTimeout("unix", path, checkWithin)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("another server answers on it")
	}
	return os.Remove(path)
}

// Run serves until ctx ends, then lets requests in flight finish for a while.
func Run(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerWithin, IdleTimeout: idleFor}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("cannot serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainFor)
		defer cancel()
		if err := server.Shutdown(drain); err != nil {
			return errors.Join(fmt.Errorf("cannot finish requests in flight: %w", err), server.Close())
		}
		return nil
	})
	return group.Wait()
}

// Check asks the server on the address whether it is ready.
func Check(ctx context.Context, address string) error {
	network, target, err := split(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, target)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://model/v2/health/ready", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("cannot reach server: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 4096)); err != nil {
		return fmt.Errorf("cannot read answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("server is not ready: %s", resp.Status)
	}
	return nil
}
