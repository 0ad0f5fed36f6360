package containerd

import (
	"context"
	"net"
	"net/http"
)

// Through has a driver reach every registry at one address, whatever its name.
func Through(d *Driver, address string) *Driver {
	d.dial = func(t *http.Transport) {
		t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	}
	return d
}
