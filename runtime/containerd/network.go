package containerd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/netns"
)

// A network is a bridge without an address of the host's, so that nothing leads from it
// to the host, to another network or outside. The plugins of the Container Network
// Interface make it, and put the instances on it: into the namespace that runc made,
// between the creation of a process and its start. What belongs to an instance there
// goes with its namespace, whoever ends it; only its address has to be given back.
//
// All there is to know of a network follows from its bridge's name, and it has a folder of
// that name before anything else is made of it. So what is left of one can be cleared by
// whoever finds it.

// pluginFolders is where systems keep the plugins.
func pluginFolders() []string { return []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} }

// network is one bridge.
type network struct{ bridge string }

// attachment is a network that an instance is on.
type attachment struct {
	network
	name    string // as its address is listed
	outward bool
}

// linkMark is before the names of networks that apps share, where addresses are listed.
const linkMark = "link:"

// attachments are the networks of a workload: those that lead outside, of which the first
// is the way out, its app's others, and those it shares.
func (d *Driver) attachments(w edge.Workload) []attachment {
	var outward, inward []attachment
	for _, name := range w.Networks {
		if a := (attachment{d.network(w.App, name), name, w.LeadsOut(name)}); a.outward {
			outward = append(outward, a)
		} else {
			inward = append(inward, a)
		}
	}
	all := slices.Concat(outward, inward)
	for _, name := range w.Links {
		all = append(all, attachment{d.network("", name), linkMark + name, false}) // no app has no name
	}
	return all
}

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
func (n network) subnet() (netip.Prefix, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(n.bridge, bridgePrefix))
	if err != nil || len(raw) < 2 {
		return netip.Prefix{}, fmt.Errorf("%q is no bridge of ours: %w", n.bridge, edge.ErrInvalid)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 128 | raw[0], raw[1], 0}), 24), nil
}

// list is the network as the plugins are told it, which leave its first address free.
func (n network) list(leases string, outward bool) (*libcni.NetworkConfigList, error) {
	subnet, err := n.subnet()
	if err != nil {
		return nil, err
	}
	addresses := map[string]any{"type": "host-local", "dataDir": leases, "ranges": []any{[]any{map[string]any{"subnet": subnet.String()}}}}
	if outward {
		addresses["routes"] = []any{map[string]any{"dst": "0.0.0.0/0"}}
	}
	text, err := json.Marshal(map[string]any{
		"cniVersion": "0.4.0", "name": n.bridge, // of Debian 12, and known to later ones
		"plugins": []any{map[string]any{
			"type": "bridge", "bridge": n.bridge, "isGateway": false, "ipMasq": false, "hairpinMode": false,
			"ipam": addresses,
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
	if !p.workload.Connected() {
		return nil, nil
	}
	if err := d.checkPlugins(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(d.netCache(), "results"), 0o700); err != nil {
		return nil, fmt.Errorf("cannot create folder of networks: %w", err)
	}
	d.nets.mu.Lock()
	defer d.nets.mu.Unlock()
	addresses, subnets := map[string]string{}, map[netip.Prefix]string{}
	for i, a := range d.attachments(p.workload) {
		subnet, err := a.subnet()
		if err != nil {
			return nil, err
		}
		if other, taken := subnets[subnet]; taken {
			return nil, edge.WithHint(fmt.Errorf("networks %q and %q have the same addresses: %w", other, a.name, edge.ErrInvalid), "give one another name")
		}
		subnets[subnet] = a.name
		if addresses[a.name], err = d.plug(ctx, a, p.id, pid, i); err != nil {
			return nil, fmt.Errorf("cannot connect it to network %q: %w", a.name, err)
		}
	}
	return addresses, endForwarding(pid)
}

// plug puts a process on a network, as its interface of that number.
func (d *Driver) plug(ctx context.Context, a attachment, id string, pid uint32, number int) (string, error) {
	if err := os.MkdirAll(d.bookOf(a.network), 0o700); err != nil {
		return "", fmt.Errorf("cannot create folder of network: %w", err)
	}
	if a.outward {
		if err := d.mayLeadOut(a.network); err != nil {
			return "", err
		}
	}
	list, err := a.list(d.leasesDir(), a.outward)
	if err != nil {
		return "", err
	}
	answer, err := d.plugins().AddNetworkList(ctx, list, &libcni.RuntimeConf{
		ContainerID: id, NetNS: fmt.Sprintf("/proc/%d/ns/net", pid), IfName: fmt.Sprintf("eth%d", number),
	})
	if err != nil {
		return "", pluginError(err)
	}
	if err := errors.Join(a.seal(), d.lead(a.network, a.outward)); err != nil {
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

// endForwarding keeps an instance on several networks from being a way between them: a
// new network forwards if the host does.
func endForwarding(pid uint32) error {
	const forwarding = "/proc/sys/net/ipv4/ip_forward"
	err := netns.Do(pid, 0, func() error {
		if now, err := os.ReadFile(forwarding); err != nil || strings.TrimSpace(string(now)) == "0" {
			return err
		}
		return writeExisting(forwarding, "0")
	})
	if err != nil {
		return pluginError(fmt.Errorf("cannot keep it from forwarding: %w", err))
	}
	return nil
}

// checkPlugins says what is missing before anything is made.
func (d *Driver) checkPlugins() error { return CheckPlugins(d.opts.Plugins) }

// CheckPlugins tells which plugin is in none of the folders; nil stands for where systems
// keep them.
func CheckPlugins(folders []string) error {
	if folders == nil {
		folders = pluginFolders()
	}
	for _, plugin := range []string{"bridge", "host-local"} {
		there := slices.ContainsFunc(folders, func(folder string) bool {
			info, err := os.Stat(filepath.Join(folder, plugin))
			return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
		})
		if !there {
			return edge.WithHint(fmt.Errorf("the plugin %q, by which instances get networks, is not on this node: %w", plugin, edge.ErrNotFound),
				"apt-get install containernetworking-plugins, or put it into "+folders[0])
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
	return libcni.NewCNIConfigWithCacheDir(d.opts.Plugins, d.netCache(), &mortal{})
}

// mortal starts plugins that do not outlive the agent: one that did could make what
// nobody looks for any more.
type mortal struct{ invoke.DefaultExec }

// ExecPlugin runs a plugin to its end. What it has to say is in its answer.
func (*mortal) ExecPlugin(ctx context.Context, plugin string, input []byte, environ []string) ([]byte, error) {
	goruntime.LockOSThread() // with the thread that starts it, it would end
	defer goruntime.UnlockOSThread()
	var answer bytes.Buffer
	cmd := exec.CommandContext(ctx, plugin)
	cmd.Env, cmd.Stdin, cmd.Stdout = environ, bytes.NewReader(input), &answer
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	err := cmd.Run()
	if err == nil {
		return answer.Bytes(), nil
	}
	told := &types.Error{}
	if json.Unmarshal(answer.Bytes(), told) == nil && told.Msg != "" {
		return nil, told
	}
	return nil, fmt.Errorf("cannot run plugin %q: %w", plugin, err)
}

func (d *Driver) netDir() string          { return filepath.Join(d.opts.RunDir, "net", d.opts.Namespace) }
func (d *Driver) leasesDir() string       { return filepath.Join(d.netDir(), "leases") }
func (d *Driver) bookOf(n network) string { return filepath.Join(d.leasesDir(), n.bridge) }
func (d *Driver) netCache() string        { return filepath.Join(d.netDir(), "cache") }
func (d *Driver) hostsDir() string        { return filepath.Join(d.netDir(), "hosts") }
