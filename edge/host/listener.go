package host

import (
	"net"
	"strconv"
)

// Listener is who listens on a port: a process, whose number is 0 where it cannot be
// seen from here.
type Listener struct {
	PID  int
	Name string
}

// ListenerAt finds who listens at an address of the node, host:port; false where nobody
// does.
func ListenerAt(address string) (Listener, bool) {
	host, number, err := net.SplitHostPort(address)
	port, numberErr := strconv.ParseUint(number, 10, 16)
	if err != nil || numberErr != nil {
		return Listener{}, false
	}
	o := CheckOptions{}
	inode := o.listener(net.ParseIP(host), uint16(port))
	if inode == "" {
		return Listener{}, false
	}
	pid, name := o.owner(inode)
	return Listener{pid, name}, true
}
