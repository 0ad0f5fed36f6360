package containerd

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// A network that leads outside differs from others in what its bridge has of the host: an
// address, by which instances go out, and a table of rules (rules.go), made before it and
// taken away after it. Instances on it find names outside by the servers the host asks.

// outwardMark is a file in the folder of a network that leads outside.
const outwardMark = "outward"

// CheckForwarding tells whether the node hands on what is not for it.
func CheckForwarding() error {
	now, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err == nil && strings.TrimSpace(string(now)) == "1" {
		return nil
	}
	return edge.WithHint(errors.Join(fmt.Errorf("the node does not forward: net.ipv4.ip_forward is not 1: %w", edge.ErrNotFound), err),
		"sysctl -w net.ipv4.ip_forward=1, and net.ipv4.ip_forward=1 in /etc/sysctl.d/90-holdfast.conf")
}

// CheckRules tells whether the kernel takes the rules of a network that leads outside. It
// tries, in a network that goes with the thread that made it.
func CheckRules() error {
	result := make(chan error)
	go func() { // whose thread ends with it, for it is never unlocked
		goruntime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n := network{bridgePrefix + "0000000000"}
			subnet, _ := n.subnet() // of a name of ours
			err = putRules(n.bridge, subnet)
		}
		result <- rightsError(err)
	}()
	return <-result
}

// Resolvers are the servers that instances on networks that lead outside would ask.
func Resolvers() (servers []string) {
	for line := range strings.Lines(resolversOfHost()) {
		if fields := strings.Fields(line); fields[0] == "nameserver" {
			servers = append(servers, fields[1])
		}
	}
	return servers
}

// mayLeadOut says what is missing before anything is made.
func (d *Driver) mayLeadOut(n network) error {
	if err := CheckForwarding(); err != nil {
		return err
	}
	subnet, err := n.subnet()
	if err != nil {
		return err
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return fmt.Errorf("cannot read routes of the node: %w", err)
	}
	if device, taken := routeInto(string(routes), subnet, n.bridge); taken {
		return edge.WithHint(fmt.Errorf("its addresses %s are among those the node reaches by %s: %w", subnet, device, edge.ErrInvalid), "give the network another name")
	}
	return nil
}

// routeInto finds a route that leads to some of a subnet, but by its own bridge, as the
// kernel lists them. That to everywhere else is none.
func routeInto(table string, subnet netip.Prefix, bridge string) (device string, found bool) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			continue
		}
		to, toErr := kernelAddress(fields[1])
		mask, maskErr := kernelAddress(fields[7])
		if toErr != nil || maskErr != nil { // the heading
			continue
		}
		bits, _ := net.IPMask(mask.AsSlice()).Size()
		if fields[0] != bridge && bits > 0 && netip.PrefixFrom(to, bits).Overlaps(subnet) {
			return fields[0], true
		}
	}
	return "", false
}

// kernelAddress reads an address as a number of this machine's order.
func kernelAddress(text string) (netip.Addr, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 4 {
		return netip.Addr{}, fmt.Errorf("%q is no address: %w", text, edge.ErrInvalid)
	}
	return netip.AddrFrom4([4]byte(native32(binary.BigEndian.Uint32(raw)))), nil
}

// lead makes a network lead outside, or no longer.
func (d *Driver) lead(n network, outward bool) error {
	mark := filepath.Join(d.bookOf(n), outwardMark)
	if _, err := os.Lstat(mark); errors.Is(err, fs.ErrNotExist) && !outward {
		return nil
	}
	subnet, err := n.subnet()
	if err != nil {
		return err
	}
	if !outward {
		if err := errors.Join(giveAddress(n.bridge, subnet, unix.RTM_DELADDR), rightsError(dropRules(n.bridge))); err != nil {
			return err
		}
		if err := os.Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot note that network leads nowhere: %w", err)
		}
		return nil
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return fmt.Errorf("cannot note that network leads outside: %w", err)
	}
	if err := putRules(n.bridge, subnet); err != nil {
		return rightsError(err)
	}
	return giveAddress(n.bridge, subnet, unix.RTM_NEWADDR)
}

// rightsError says what the kernel lacks, or the agent.
func rightsError(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return edge.WithHint(err, "the kernel lacks nf_tables, or masquerading in it: CONFIG_NF_TABLES, CONFIG_NFT_CT, CONFIG_NFT_MASQ and CONFIG_NF_NAT")
	}
	if errors.Is(err, unix.EPERM) {
		return pluginError(errors.Join(err, fs.ErrPermission))
	}
	return err
}

// giveAddress gives a bridge the first address of its subnet, which instances take as
// their way out, or takes it back.
func giveAddress(bridge string, subnet netip.Prefix, kind uint16) error {
	number, err := device(bridge)
	switch {
	case err == nil && number == 0 && kind == unix.RTM_DELADDR:
		return nil // with the bridge its address has gone
	case err == nil && number == 0:
		err = unix.ENODEV
	}
	if err != nil {
		return fmt.Errorf("cannot find bridge %q: %w", bridge, err)
	}
	flags := uint16(unix.NLM_F_ACK)
	if kind == unix.RTM_NEWADDR {
		flags |= unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	first := subnet.Addr().Next().AsSlice()
	body := append([]byte{unix.AF_INET, byte(subnet.Bits()), 0, unix.RT_SCOPE_UNIVERSE}, native32(number)...)
	body = append(append(body, attribute(unix.IFA_LOCAL, first)...), attribute(unix.IFA_ADDRESS, first)...)
	err = converse(unix.NETLINK_ROUTE, []message{{kind, flags, body}}, acknowledged(1))
	if err == nil || kind == unix.RTM_DELADDR && errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return rightsError(fmt.Errorf("cannot change the address of bridge %q: %w", bridge, err))
}

// leadAgain puts back what others have taken from networks that lead outside, such as all
// rules of the machine at once.
func (d *Driver) leadAgain() error {
	d.nets.mu.Lock()
	defer d.nets.mu.Unlock()
	marks, err := filepath.Glob(filepath.Join(d.leasesDir(), "*", outwardMark))
	if err != nil || len(marks) == 0 {
		return err
	}
	there, err := tables()
	failed := []error{err, d.writeResolvers()}
	for _, mark := range marks {
		n := network{filepath.Base(filepath.Dir(mark))}
		if err == nil && !slices.Contains(there, n.bridge) {
			d.log.Warn("the rules of a network were gone, putting them back", "bridge", n.bridge)
			failed = append(failed, d.lead(n, true))
		}
	}
	return errors.Join(failed...)
}

// resolvers is the file by which instances that reach the outside find names there.
func (d *Driver) resolvers() string { return filepath.Join(d.netDir(), "resolv.conf") }

// hostResolvers are where a host says whom it asks; the second where the first names a
// helper on the host itself.
func hostResolvers() []string {
	return []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}
}

// writeResolvers writes the file, in its place, from what the host asks now.
func (d *Driver) writeResolvers() error { return writeInPlace(d.resolvers(), resolversOfHost()) }

func resolversOfHost() (text string) {
	for _, name := range hostResolvers() {
		said, err := os.ReadFile(name)
		if err != nil {
			continue // a host may have neither
		}
		if text = outsideResolvers(string(said)); strings.Contains(text, "nameserver ") {
			break
		}
	}
	return text
}

// outsideResolvers leaves out what only the host itself reaches.
func outsideResolvers(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !slices.Contains([]string{"nameserver", "search", "options"}, fields[0]) {
			continue
		}
		if at, err := netip.ParseAddr(fields[1]); fields[0] == "nameserver" && (err != nil || at.IsLoopback()) {
			continue
		}
		kept.WriteString(strings.Join(fields, " ") + "\n")
	}
	return kept.String()
}
