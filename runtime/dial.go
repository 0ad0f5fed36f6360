package runtime

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"holdfast/edge/rawconn"
)

// dialSocket connects to a unix socket that lies in a folder its container may
// write. The container could put a symbolic link there and so lead the agent,
// which is root, to any socket of the host. The path is therefore opened without
// following links and connected to through the open file; that also lifts the
// limit of 107 bytes on the path's length.
func dialSocket(ctx context.Context, socket string) (net.Conn, error) {
	fd, err := unix.Open(socket, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open socket %q: %w", socket, err)
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, fmt.Errorf("cannot stat socket %q: %w", socket, err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, fmt.Errorf("cannot dial %q: not a socket", socket)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", "/proc/self/fd/"+strconv.Itoa(fd))
	if err != nil {
		return nil, fmt.Errorf("cannot dial socket %q: %w", socket, err)
	}
	return rawconn.Of(conn), nil
}
