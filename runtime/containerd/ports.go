package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/netns"
	"holdfast/runtime/relay"
)

// Ports of the node are answered by a relay, a process beside the agent (runtime/relay).
// It is told all there is to serve whenever an instance with ports comes, goes or is
// asked to end; what that is stands in the labels of the containers, as all else that an
// instance has.

// labelPorts lists the ports an instance publishes: 127.0.0.1:8080->80.
const labelPorts = "holdfast.ports"

// ports is what is published of one driver.
type ports struct {
	relay *relay.Client

	mu     sync.Mutex // held while the relay is told: an older list must not come last
	ending []string   // instances that are asked to end
	ready  []string   // those that take connections first; nil: nobody said
	served []string   // addresses that the relay has
}

func (d *Driver) relayDir() string { return filepath.Join(d.netDir(), "relay") }

// portWords are ports as a label holds them.
func portWords(published []edge.Port) string {
	var words []string
	for _, port := range published {
		words = append(words, port.String())
	}
	return strings.Join(words, " ")
}

// portsOf reads a label; what makes no sense was never written.
func portsOf(label string) []edge.Port {
	var published []edge.Port
	for word := range strings.FieldsSeq(label) {
		address, target, _ := strings.Cut(word, "->")
		at, err := netip.ParseAddrPort(address)
		number, numberErr := strconv.Atoi(target)
		if err != nil || numberErr != nil {
			continue
		}
		port := edge.Port{Host: at.Addr().String(), Port: int(at.Port()), Target: number}
		if port.Host == edge.Loopback {
			port.Host = ""
		}
		published = append(published, port)
	}
	return published
}

// offer makes the ports of all who run what is served, and returns why some cannot
// be, by their addresses.
func (d *Driver) offer(ctx context.Context, c *client.Client) (map[string]string, error) {
	d.ports.mu.Lock()
	defer d.ports.mu.Unlock()
	routes, err := d.routesLocked(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("cannot publish ports: %w", err)
	}
	if len(routes) == 0 && !d.relaying() {
		d.ports.served = nil
		return nil, nil
	}
	problems, err := d.ports.relay.Set(ctx, routes)
	if err != nil {
		return nil, fmt.Errorf("cannot publish ports: %w", err)
	}
	d.ports.served = nil
	for _, route := range routes {
		if _, failed := problems[route.Listen]; !failed {
			d.ports.served = append(d.ports.served, route.Listen)
		}
	}
	return problems, nil
}

// offered is offer where failing must not undo what was done: the next one who comes
// or goes makes up for it, or the next look (tend).
func (d *Driver) offered(ctx context.Context, c *client.Client) {
	problems, err := d.offer(ctx, c)
	if err != nil && ctx.Err() == nil { // the agent's end is no trouble: what is served goes on
		d.log.Warn("cannot publish ports", "error", err)
	}
	for _, address := range slices.Sorted(maps.Keys(problems)) {
		d.log.Warn("cannot publish port", "address", address, "error", problems[address])
	}
}

// relaying tells whether a relay may be there.
func (d *Driver) relaying() bool {
	_, err := os.Lstat(filepath.Join(d.relayDir(), "socket"))
	return err == nil
}

// routesLocked are the ports of all who run, by the addresses of the node.
func (d *Driver) routesLocked(ctx context.Context, c *client.Client) ([]relay.Route, error) {
	held, err := d.running(ctx, c, labelPorts)
	if err != nil {
		return nil, err
	}
	edge.SortStable(held, func(a, b runner) int { return cmp.Compare(a.ID, b.ID) })
	own, err := netns.Of(uint32(os.Getpid()))
	if err != nil {
		return nil, err
	}
	byAddress := map[string]*relay.Route{}
	for _, r := range held {
		number, err := netns.Of(r.pid)
		if err != nil && !errors.Is(err, edge.ErrNotFound) {
			return nil, err
		}
		if number == own {
			number = 0 // it has just ended: nothing is reached there, and its ports are not given away
		}
		for _, port := range portsOf(r.Labels[labelPorts]) {
			route := byAddress[port.Address()]
			if route == nil {
				route = &relay.Route{Listen: port.Address()}
				byAddress[port.Address()] = route
			}
			if number != 0 {
				route.Targets = append(route.Targets, relay.Target{PID: r.pid, Network: number, Port: port.Target, Spare: d.isSpareLocked(r.ID)})
			}
		}
	}
	var routes []relay.Route
	for _, address := range slices.Sorted(maps.Keys(byAddress)) {
		routes = append(routes, *byAddress[address])
	}
	return routes, nil
}

// isSpareLocked tells whether an instance is asked only where nobody else answers.
func (d *Driver) isSpareLocked(id string) bool {
	return slices.Contains(d.ports.ending, id) || d.ports.ready != nil && !slices.Contains(d.ports.ready, id)
}

// Offer has new connections go to those who are ready.
func (d *Driver) Offer(ctx context.Context, ready []string) {
	d.ports.mu.Lock()
	d.ports.ready = append([]string{}, ready...) // none of them is something that was said
	d.ports.mu.Unlock()
	if c, err := d.conn(); err == nil {
		d.offered(d.scope(ctx), c)
	}
}

// answer makes the node answer for an instance that has just begun to run. What it
// cannot have is somebody else's, and then it is not to run.
func (f *draft) answer(ctx context.Context) error {
	if len(f.plan.workload.Ports) == 0 {
		return nil
	}
	problems, err := f.driver.offer(ctx, f.client)
	if err != nil {
		return relayError(err)
	}
	var failed []error
	for _, port := range f.plan.workload.Ports {
		if why, is := problems[port.Address()]; is {
			// Not as unavailable, which would be said of containerd.
			failed = append(failed, relayError(fmt.Errorf("cannot publish port %s: %s: %w", port.Address(), why, edge.ErrExists)))
		}
	}
	return errors.Join(failed...)
}

// relayError says what is missing.
func relayError(err error) error {
	text := err.Error()
	if strings.Contains(text, unix.EPERM.Error()) || strings.Contains(text, unix.EACCES.Error()) {
		return edge.WithHint(err, "the agent's service may not enter the networks of instances: install /usr/share/holdfast/networks.conf as a drop-in of its unit")
	}
	if strings.Contains(text, unix.EADDRINUSE.Error()) {
		return edge.WithHint(err, "`holdfast doctor` says who listens there")
	}
	return err
}

// retreat has new connections go to others from now on, if there are any: the instance is
// asked to end next.
func (d *Driver) retreat(ctx context.Context, c *client.Client, id string, labels map[string]string) {
	if labels[labelPorts] == "" {
		return
	}
	d.ports.mu.Lock()
	d.ports.ending = append(d.ports.ending, id)
	d.ports.mu.Unlock()
	d.offered(ctx, c)
}

// leavePorts takes back the ports of an instance that has ended, unless others have them.
func (d *Driver) leavePorts(ctx context.Context, c *client.Client, id string) {
	d.ports.mu.Lock()
	d.ports.ending = slices.DeleteFunc(d.ports.ending, func(other string) bool { return other == id })
	d.ports.mu.Unlock()
	if d.relaying() {
		d.offered(ctx, c)
	}
}

// tend starts the relay anew when it has gone although there is something to serve.
func (d *Driver) tend(ctx context.Context, c *client.Client) {
	d.ports.mu.Lock()
	missed := len(d.ports.served) > 0 && d.ports.relay.PID() == 0
	d.ports.mu.Unlock()
	if missed {
		d.log.Warn("relay of ports is gone, starting it anew")
		d.offered(ctx, c)
	}
	d.mended()
}

// mended is leadAgain where failing must not undo what was done.
func (d *Driver) mended() {
	if err := d.leadAgain(); err != nil {
		d.log.Warn("cannot mend networks that lead outside", "error", err)
	}
}

// Relay is the process that answers for instances; 0: there is none.
func (d *Driver) Relay() int { return d.ports.relay.PID() }
