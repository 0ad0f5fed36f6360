package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"

	"holdfast/edge"
	"holdfast/runtime"
	"holdfast/runtime/relay"
)

var (
	_ runtime.Driver        = (*Driver)(nil)
	_ runtime.Execer        = (*Driver)(nil)
	_ runtime.ImageStore    = (*Driver)(nil)
	_ runtime.ImageKeeper   = (*Driver)(nil)
	_ runtime.DaemonWatcher = (*Driver)(nil)
	_ runtime.EventSource   = (*Driver)(nil)
	_ runtime.Suspender     = (*Driver)(nil)
	_ runtime.Weigher       = (*Driver)(nil)
	_ runtime.Offerer       = (*Driver)(nil)
)

// Options say which daemon to use and where the driver keeps its files.
type Options struct {
	Address      string // the daemon's socket; default /run/containerd/containerd.sock
	Namespace    string // default holdfast
	StateDir     string // kept: logs/<id>.log
	RunDir       string // on a tmpfs: instances/<id>, runc's state, pipes of exec
	CgroupParent string // default /holdfast
	Snapshotter  string // default overlayfs

	// Defaults bound instances whose workload names no limit of its own.
	Defaults edge.Limits
	// Policy gives the policy in force, which every start must fit. Where it is nil or
	// gives nil no policy governs the node, and workloads are taken at their word.
	Policy func() *edge.Policy
	// Plugins are the folders with those of the Container Network Interface; default: where
	// systems keep them.
	Plugins []string
	// Relay is the command that calls relay.Main, for published ports; default: this
	// program with relay.Verb.
	Relay []string
	// Secret gives the value of a secret, of the version it names; default: there are none.
	Secret func(edge.Secret) ([]byte, error)

	LogMaxBytes int64         // a log is rotated beyond this; default 4 MiB
	LogKeep     int           // rotated logs kept for each instance; default 2
	LogEvery    time.Duration // how often sizes are looked at while none grows fast; default 1 s

	AskEvery     time.Duration // how often the daemon is asked whether it answers; default 5 s
	AnswerWithin time.Duration // it hangs if it takes longer; default 3 s

	// PullStall is how long a registry may say nothing before a pull from it is given
	// up; default 30 s.
	PullStall time.Duration
	// PullPause is the first pause after a registry broke off; default 1 s.
	PullPause time.Duration
	// Registries says, for each pull anew, how registries are reached. nil: the image's
	// own over HTTPS, as nobody.
	Registries func() (Registries, error)
	// Most is how much memory all instances may have together; nil or 0: as much as there is.
	Most func() int64
	// Room tells whether so many bytes may still be written into the daemon's store:
	// nil, or edge.ErrNoRoom. nil: as many as the disk takes.
	Room func(need int64) error

	Log *slog.Logger // default discards
}

// Node defaults for what a workload leaves open. 128 MiB hold a small model
// server with room to spare, and eight of them fit a 1 GiB gateway; 64 processes
// and threads are three times what a Go server takes on four cores.
const (
	defaultCPUs   = 1.0
	defaultMemory = 128 << 20
	defaultPids   = 64
)

// Driver runs workloads as containers.
type Driver struct {
	first bool // nobody had folders of this namespace before Open
	opts  Options
	log   *slog.Logger

	images   imageCache
	hands    hands
	nets     nets
	ports    ports
	freezers freezers
	bounds   bounds
	pace     pace
	pulls    pulls
	dial     func(*http.Transport) // how tests reach registries; nil: by their names

	mu     sync.Mutex     // guards what follows
	client *client.Client // nil until first needed and after Close
	closed bool
}

// New returns a driver with the defaults filled in. It does no I/O.
func New(opts Options) (*Driver, error) {
	if opts.StateDir == "" || opts.RunDir == "" {
		return nil, fmt.Errorf("containerd driver needs a state folder and a run folder: %w", edge.ErrInvalid)
	}
	if !filepath.IsAbs(opts.StateDir) || !filepath.IsAbs(opts.RunDir) {
		return nil, fmt.Errorf("folders of the containerd driver must be absolute: %q, %q: %w", opts.StateDir, opts.RunDir, edge.ErrInvalid)
	}
	opts.Address = cmp.Or(opts.Address, "/run/containerd/containerd.sock")
	opts.Namespace = cmp.Or(opts.Namespace, "holdfast")
	opts.CgroupParent = cmp.Or(opts.CgroupParent, "/holdfast")
	opts.Snapshotter = cmp.Or(opts.Snapshotter, "overlayfs")
	opts.Defaults.CPUs = cmp.Or(opts.Defaults.CPUs, defaultCPUs)
	opts.Defaults.Memory = cmp.Or(opts.Defaults.Memory, defaultMemory)
	opts.Defaults.Pids = cmp.Or(opts.Defaults.Pids, defaultPids)
	opts.LogMaxBytes = cmp.Or(opts.LogMaxBytes, 4<<20)
	opts.LogKeep = cmp.Or(opts.LogKeep, 2)
	opts.LogEvery = cmp.Or(opts.LogEvery, time.Second)
	opts.AskEvery = cmp.Or(opts.AskEvery, 5*time.Second)
	opts.AnswerWithin = cmp.Or(opts.AnswerWithin, 3*time.Second)
	opts.PullStall = cmp.Or(opts.PullStall, 30*time.Second)
	opts.PullPause = cmp.Or(opts.PullPause, time.Second)
	if opts.Plugins == nil {
		opts.Plugins = pluginFolders()
	}
	if opts.Secret == nil {
		opts.Secret = noSecrets
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	d := &Driver{opts: opts, log: opts.Log}
	d.ports.relay = relay.New(d.relayDir(), opts.Relay)
	return d, nil
}

// Open makes the driver's folders, once in a driver's life and before anything else. It
// does not need the daemon.
func (d *Driver) Open() error {
	// The client's own logger writes past ours. It says nothing that is not also
	// in an error.
	if err := log.SetLevel("fatal"); err != nil {
		return fmt.Errorf("cannot quieten containerd client: %w", err)
	}
	if err := clearPipes(d.fifoDir()); err != nil {
		return fmt.Errorf("cannot clear driver folder: %w", err)
	}
	_, err := os.Lstat(d.netDir())
	d.first = errors.Is(err, os.ErrNotExist)
	// First, or it would have the mode of whichever is made first in it.
	if err := os.MkdirAll(d.opts.RunDir, 0o755); err != nil {
		return fmt.Errorf("cannot create driver folder: %w", err)
	}
	// Instances reach their own folder through a mount; nobody else needs to list
	// these, but a person who is not root may pass through to a socket.
	for dir, mode := range map[string]os.FileMode{
		d.logDir():                             0o750,
		d.instancesDir():                       0o711,
		d.fifoDir():                            0o700,
		d.spoolDir():                           0o700,
		d.secretsDir():                         0o700,
		d.volumesDir():                         0o700,
		d.hostsDir():                           0o711,
		d.leasesDir():                          0o700,
		filepath.Join(d.netCache(), "results"): 0o700,
	} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return fmt.Errorf("cannot create driver folder: %w", err)
		}
	}
	if err := d.clearVolumes(); err != nil {
		d.log.Warn("cannot remove leftovers of volumes", "error", err)
	}
	return nil
}

// Close lets go of the daemon. Containers go on, suspended ones too.
func (d *Driver) Close() error {
	return errors.Join(d.freezers.thawAll(), d.disconnect())
}

// takeBack removes the folders of this namespace in which nothing lies: an agent that is
// turned away at its start leaves nothing behind.
func (d *Driver) takeBack() {
	for _, folder := range []string{
		filepath.Join(d.netCache(), "results"), d.netCache(), d.relayDir(), d.leasesDir(), d.hostsDir(), d.netDir(), d.secretsDir(),
	} {
		_ = os.Remove(folder) // what holds something stays
	}
}

func (d *Driver) disconnect() error {
	d.mu.Lock()
	conn := d.client
	d.client, d.closed = nil, true
	d.mu.Unlock()
	if conn == nil {
		if d.first {
			d.takeBack()
		}
		return nil
	}
	if err := conn.Close(); err != nil {
		return fmt.Errorf("cannot close connection to containerd: %w", err)
	}
	return nil
}

// connectWithin bounds one attempt to reach the daemon's socket.
const connectWithin = time.Second

// conn returns the client. Making one does no I/O: its connection is established
// by the first call, and again by itself after it was lost.
func (d *Driver) conn() (*client.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fmt.Errorf("containerd driver is closed: %w", edge.ErrUnavailable)
	}
	if d.client != nil {
		return d.client, nil
	}
	c, err := client.New(d.opts.Address,
		client.WithDefaultNamespace(d.opts.Namespace),
		client.WithDefaultRuntime(plugins.RuntimeRuncV2),
		client.WithTimeout(connectWithin))
	if err != nil {
		return nil, fmt.Errorf("cannot dial containerd at %q: %w", d.opts.Address, err)
	}
	d.client = c
	return c, nil
}

// nudge makes a connection that failed try again now: its own pause between two
// attempts is a second, longer than a daemon takes to start.
func (d *Driver) nudge() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.client == nil {
		return
	}
	if c, ok := d.client.Conn().(interface{ ResetConnectBackoff() }); ok {
		c.ResetConnectBackoff()
	}
}

// leaseID names the one lease that holds what was imported.
const leaseID = "holdfast"

// ensureLease makes the lease unless it is there; it lives in the daemon's
// metadata.
func ensureLease(ctx context.Context, c *client.Client) (leases.Lease, error) {
	_, err := c.LeasesService().Create(ctx, leases.WithID(leaseID))
	if err = native(err); err != nil && !errors.Is(err, edge.ErrExists) {
		return leases.Lease{}, fmt.Errorf("cannot create lease: %w", err)
	}
	return leases.Lease{ID: leaseID}, nil
}

func (d *Driver) logDir() string       { return filepath.Join(d.opts.StateDir, "logs") }
func (d *Driver) spoolDir() string     { return filepath.Join(d.opts.StateDir, "import") }
func (d *Driver) instancesDir() string { return filepath.Join(d.opts.RunDir, "instances") }
func (d *Driver) fifoDir() string      { return filepath.Join(d.opts.RunDir, "fifo") }
func (d *Driver) runcRoot() string     { return filepath.Join(d.opts.RunDir, "runc") }

func (d *Driver) logPath(id string) string     { return filepath.Join(d.logDir(), id+".log") }
func (d *Driver) instanceDir(id string) string { return filepath.Join(d.instancesDir(), id) }
func (d *Driver) cgroupPath(id string) string  { return filepath.Join("/", d.opts.CgroupParent, id) }
