package containerd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// A network is a bridge without an address of the host's, so that nothing leads from it
// to the host, to another network or outside. The plugins of the Container Network
// Interface make it, and put the instances on it: into the namespace that runc made,
// between the creation of a process and its start. What belongs to an instance there
// goes with its namespace, whoever ends it; only its address has to be given back.
//
// All there is to know of a network follows from its bridge's name, so what is left of
// one can be cleared by whoever finds it.

// pluginFolders is where systems keep the plugins.
func pluginFolders() []string { return []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} }

// network is one bridge.
type network struct{ bridge string }

// bridgePrefix is before the names of our bridges.
const bridgePrefix = "hf"

// network names the bridge of an app's network, as no other agent of the machine does.
func (d *Driver) network(app, name string) network {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s", d.opts.RunDir, d.opts.Namespace, app, name))
	const enough = 5 // bytes: ten letters, for the kernel takes fifteen
	return network{bridgePrefix + hex.EncodeToString(sum[:enough])}
}

// subnet is one of 32,768 with room for some 250 instances. That two networks of
// one instance have the same one is refused; others never meet.
func (n network) subnet() (string, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(n.bridge, bridgePrefix))
	if err != nil || len(raw) < 2 {
		return "", fmt.Errorf("%q is no bridge of ours: %w", n.bridge, edge.ErrInvalid)
	}
	return fmt.Sprintf("10.%d.%d.0/24", 128|raw[0], raw[1]), nil
}

// list is the network as the plugins are told it.
func (n network) list(leases string) (*libcni.NetworkConfigList, error) {
	subnet, err := n.subnet()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(map[string]any{
		"cniVersion": "0.4.0", "name": n.bridge, // of Debian 12, and known to later ones
		"plugins": []any{map[string]any{
			"type": "bridge", "bridge": n.bridge, "isGateway": false, "ipMasq": false, "hairpinMode": false,
			"ipam": map[string]any{"type": "host-local", "dataDir": leases, "ranges": []any{[]any{map[string]any{"subnet": subnet}}}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot describe network: %w", err)
	}
	return libcni.ConfListFromBytes(text)
}

// nets keeps the networks of one driver.
type nets struct {
	mu     sync.Mutex // held while plugins work on bridges: one must not go while another is put on it
	naming sync.Mutex // held while hosts files are written: an older list must not come last
}

// connect puts an instance on its networks and returns its address on each.
func (d *Driver) connect(ctx context.Context, p plan, pid uint32) (map[string]string, error) {
	if len(p.workload.Networks) == 0 {
		return nil, nil
	}
	if err := d.checkPlugins(); err != nil {
		return nil, err
	}
	for _, folder := range []string{d.leasesDir(), filepath.Join(d.netCache(), "results")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("cannot create folder of networks: %w", err)
		}
	}
	d.nets.mu.Lock()
	defer d.nets.mu.Unlock()
	addresses, subnets := map[string]string{}, map[string]string{}
	for i, name := range p.workload.Networks {
		n := d.network(p.workload.App, name)
		subnet, err := n.subnet()
		if err != nil {
			return nil, err
		}
		if other, taken := subnets[subnet]; taken {
			return nil, edge.WithHint(fmt.Errorf("networks %q and %q have the same addresses: %w", other, name, edge.ErrInvalid), "give one another name")
		}
		subnets[subnet] = name
		if addresses[name], err = d.plug(ctx, n, p.id, pid, i); err != nil {
			return nil, fmt.Errorf("cannot connect it to network %q: %w", name, err)
		}
	}
	return addresses, nil
}

// plug puts a process on a network, as its interface of that number.
func (d *Driver) plug(ctx context.Context, n network, id string, pid uint32, number int) (string, error) {
	list, err := n.list(d.leasesDir())
	if err != nil {
		return "", err
	}
	answer, err := d.plugins().AddNetworkList(ctx, list, &libcni.RuntimeConf{
		ContainerID: id, NetNS: fmt.Sprintf("/proc/%d/ns/net", pid), IfName: fmt.Sprintf("eth%d", number),
	})
	if err != nil {
		return "", pluginError(err)
	}
	if err := n.seal(); err != nil {
		return "", err
	}
	result, err := current.NewResultFromResult(answer)
	if err != nil || len(result.IPs) == 0 {
		return "", errors.Join(err, errors.New("the plugin gave it no address"))
	}
	return result.IPs[0].Address.IP.String(), nil
}

// seal takes the address from a bridge that the kernel gives every device, by which
// instances would reach the host: nobody is on it yet who runs.
func (n network) seal() error {
	err := writeExisting(filepath.Join("/proc/sys/net/ipv6/conf", n.bridge, "disable_ipv6"), "1")
	if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
		return nil
	}
	if err != nil {
		return pluginError(fmt.Errorf("cannot close bridge %q to the host: %w", n.bridge, err))
	}
	return nil
}

// unplug gives back what an instance has of networks, whoever put it on them, and
// takes away the bridges that nothing is on any more. Its namespace is gone by now.
func (d *Driver) unplug(ctx context.Context, id string) error {
	held, err := d.leases()
	if err != nil || len(held[id]) == 0 {
		return err
	}
	d.nets.mu.Lock()
	defer d.nets.mu.Unlock()
	var failed []error
	for _, lease := range held[id] {
		list, err := lease.list(d.leasesDir())
		if err == nil {
			err = d.plugins().DelNetworkList(ctx, list, &libcni.RuntimeConf{ContainerID: id, IfName: lease.device})
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("cannot take it off network: %w", pluginError(err)))
			continue
		}
		failed = append(failed, d.retire(lease.network))
	}
	return errors.Join(failed...)
}

// lease is what the address book of the plugins says an instance has.
type lease struct {
	network
	device string
}

// leases reads the address book: a folder for each network, and in it a file for each
// address with the instance and its interface.
func (d *Driver) leases() (map[string][]lease, error) {
	held := map[string][]lease{}
	networks, err := entriesOf(d.leasesDir())
	if err != nil {
		return nil, fmt.Errorf("cannot read what addresses are held: %w", err)
	}
	for _, bridge := range networks {
		files, err := entriesOf(filepath.Join(d.leasesDir(), bridge))
		if err != nil {
			return nil, fmt.Errorf("cannot read what addresses are held: %w", err)
		}
		for _, name := range files {
			id, device := readLease(filepath.Join(d.leasesDir(), bridge, name))
			if one := (lease{network{bridge}, device}); checkID(id) == nil && device != "" && !slices.Contains(held[id], one) {
				held[id] = append(held[id], one)
			}
		}
	}
	return held, nil
}

func readLease(path string) (id, device string) {
	if base := filepath.Base(path); strings.HasPrefix(base, "last_reserved_ip") || base == "lock" {
		return "", ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "" // given back meanwhile
	}
	id, device, _ = strings.Cut(string(text), "\n")
	return strings.TrimSpace(id), strings.TrimSpace(device)
}

// retire takes a bridge away unless somebody has an address on it. The kernel may still
// show the ends of interfaces whose namespaces have just gone.
func (d *Driver) retire(n network) error {
	held, err := d.leases()
	if err != nil {
		return err
	}
	for _, leases := range held {
		if slices.ContainsFunc(leases, func(l lease) bool { return l.network == n }) {
			return nil
		}
	}
	if err := removeBridge(n.bridge); err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("cannot remove bridge %q: %w", n.bridge, err)
	}
	return os.RemoveAll(filepath.Join(d.leasesDir(), n.bridge)) // which address was given last
}

// removeBridge takes a bridge down and away.
func removeBridge(name string) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	request.SetUint16(0) // no flags: down
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		return err
	}
	return unix.IoctlSetString(socket, unix.SIOCBRDELBR, name)
}

// checkPlugins says what is missing before anything is made.
func (d *Driver) checkPlugins() error {
	for _, plugin := range []string{"bridge", "host-local"} {
		there := slices.ContainsFunc(d.opts.Plugins, func(folder string) bool {
			info, err := os.Stat(filepath.Join(folder, plugin))
			return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
		})
		if !there {
			return edge.WithHint(fmt.Errorf("the plugin %q, by which instances get networks, is not on this node: %w", plugin, edge.ErrNotFound),
				"apt-get install containernetworking-plugins, or put it into "+d.opts.Plugins[0])
		}
	}
	return nil
}

// pluginError says what a plugin's error is about.
func pluginError(err error) error {
	var told *types.Error
	if errors.As(err, &told) && (strings.Contains(told.Msg, "operation not permitted") || strings.Contains(told.Msg, "permission denied")) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return edge.WithHint(err, "the agent's service may not administer networks: install /usr/share/holdfast/networks.conf as a drop-in of its unit")
	}
	return err
}

func (d *Driver) plugins() *libcni.CNIConfig {
	return libcni.NewCNIConfigWithCacheDir(d.opts.Plugins, d.netCache(), &invoke.DefaultExec{
		RawExec: &invoke.RawExec{Stderr: io.Discard}, // what they have to say is in their answers
	})
}

func (d *Driver) netDir() string    { return filepath.Join(d.opts.RunDir, "net", d.opts.Namespace) }
func (d *Driver) leasesDir() string { return filepath.Join(d.netDir(), "leases") }
func (d *Driver) netCache() string  { return filepath.Join(d.netDir(), "cache") }
func (d *Driver) hostsDir() string  { return filepath.Join(d.netDir(), "hosts") }
