package relay

import (
	"context"
	"net"
	"os"
	"time"
)

// Small makes a relay of a folder in this process, which has room for so many connections
// and ends them after that long when nothing is left to serve.
func Small(folder string, most int, grace time.Duration) (run func(context.Context) error, err error) {
	own, err := program()
	if err != nil {
		return nil, err
	}
	lock, err := os.Create(lockIn(folder))
	if err != nil {
		return nil, err
	}
	control, err := net.Listen("unix", socketIn(folder))
	if err != nil {
		return nil, err
	}
	r := &relay{folder: folder, program: own, lock: lock, control: control, ports: map[string]*port{}, open: newConnections(most), grace: grace}
	if r.socket, err = r.identity(); err != nil {
		return nil, err
	}
	return r.run, nil
}
