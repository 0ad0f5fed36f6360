package runtime

import (
	"context"
	"fmt"
	"net"

	"holdfast/edge"
	"holdfast/edge/netns"
)

// dialPort connects to a port of the instance's own loopback, which is there also when
// it has no other network.
func dialPort(ctx context.Context, inst edge.Instance, port int) (net.Conn, error) {
	if inst.PID == 0 {
		return nil, fmt.Errorf("cannot dial port %d of instance %q: it does not run", port, inst.ID)
	}
	conn, err := netns.Dial(ctx, inst.PID, 0, port)
	if err != nil {
		return nil, fmt.Errorf("cannot dial port %d of instance %q: %w", port, inst.ID, err)
	}
	return conn, nil
}
