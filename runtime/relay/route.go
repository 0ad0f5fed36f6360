package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"holdfast/edge"
	"holdfast/edge/netns"
)

// Route is one port of the node.
type Route struct {
	Listen  string   `json:"listen"`  // address:port
	Targets []Target `json:"targets"` // in turn; none: who calls is turned away
}

// Target is where an instance answers.
type Target struct {
	PID     uint32 `json:"pid"` // of a process in its network
	Network uint64 `json:"net"` // the number of that network
	Port    int    `json:"port"`
	// Spare is one that is asked when no other answers: not ready yet, or not any more.
	Spare bool `json:"spare,omitempty"`
}

// request is what the agent says: all there is to be done.
type request struct {
	Program string  `json:"program"` // the agent's
	Routes  []Route `json:"routes"`
}

// answer is what the relay says to it.
type answer struct {
	// Outdated: the program is another one. Nothing was changed but that its ports are
	// free; what is open goes on.
	Outdated bool              `json:"outdated,omitempty"`
	Problems map[string]string `json:"problems,omitempty"` // by Route.Listen
}

// maxMessage bounds what is said; a route takes some hundred bytes.
const maxMessage = 1 << 20

func say(conn net.Conn, what any) error { return json.NewEncoder(conn).Encode(what) }

// program names the file that this process runs, as another one after an upgrade.
func program() (string, error) {
	info, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("cannot find own program: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.New("cannot tell own program from others")
	}
	return fmt.Sprintf("%d-%d-%d", stat.Dev, stat.Ino, info.ModTime().UnixNano()), nil
}

// dial connects to a port of the target's own loopback.
func (t Target) dial(ctx context.Context) (net.Conn, error) {
	return netns.Dial(ctx, t.PID, t.Network, t.Port)
}

// reachable tells why a target cannot be entered at all. One that is gone is no problem:
// the next list will not have it.
func (t Target) reachable() error {
	err := netns.Do(t.PID, t.Network, func() error { return nil })
	if errors.Is(err, edge.ErrNotFound) {
		return nil
	}
	return err
}
