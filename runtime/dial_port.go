package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/netns"
)

// dialPort connects to a port of the instance's own loopback, which is there also when
// it has no other network.
func dialPort(ctx context.Context, inst edge.Instance, port int) (conn net.Conn, err error) {
	if inst.PID == 0 {
		return nil, fmt.Errorf("cannot dial port %d of instance %q: it does not run", port, inst.ID)
	}
	err = netns.Do(inst.PID, 0, func() (err error) {
		conn, err = dialLoopback(ctx, port)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot dial port %d of instance %q: %w", port, inst.ID, err)
	}
	return conn, nil
}

// dialLoopback tries both loopbacks, since a server may listen on either.
func dialLoopback(ctx context.Context, port int) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil || ctx.Err() != nil || !errors.Is(err, unix.ECONNREFUSED) {
		return conn, err
	}
	if conn, other := dialer.DialContext(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(port))); other == nil {
		return conn, nil
	}
	return nil, err
}
