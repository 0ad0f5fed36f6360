package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"golang.org/x/sys/unix"
)

// unplug gives back what an instance has of networks, whoever put it on them, and
// takes away the bridges that nothing is on any more. Its namespace is gone by now.
func (d *Driver) unplug(ctx context.Context, id string) error {
	d.nets.mu.Lock()
	defer d.nets.mu.Unlock()
	held, err := d.leases()
	if err != nil {
		return err
	}
	var failed []error
	for _, lease := range held[id] {
		list, err := lease.list(d.leasesDir(), false)
		if err == nil {
			err = d.plugins().DelNetworkList(ctx, list, &libcni.RuntimeConf{ContainerID: id, IfName: lease.device})
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("cannot take it off network: %w", pluginError(err)))
		}
	}
	return errors.Join(append(failed, d.retireLocked())...)
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
	if base := filepath.Base(path); strings.HasPrefix(base, "last_reserved_ip") || base == "lock" || base == outwardMark {
		return "", ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "" // given back meanwhile
	}
	id, device, _ = strings.Cut(string(text), "\n")
	return strings.TrimSpace(id), strings.TrimSpace(device)
}

// retireUnused takes away what is left of networks that nobody is on.
func (d *Driver) retireUnused() error {
	d.nets.mu.Lock()
	defer d.nets.mu.Unlock()
	return d.retireLocked()
}

func (d *Driver) retireLocked() error {
	held, err := d.leases()
	if err != nil {
		return err
	}
	used := map[network]bool{}
	for _, leases := range held {
		for _, lease := range leases {
			used[lease.network] = true
		}
	}
	bridges, err := entriesOf(d.leasesDir())
	failed := []error{err}
	for _, bridge := range bridges {
		if n := (network{bridge}); !used[n] {
			failed = append(failed, d.retire(n))
		}
	}
	return errors.Join(failed...)
}

// retire takes a bridge away, and last its folder, by which it is found. The kernel may
// still show the ends of interfaces whose namespaces have just gone.
func (d *Driver) retire(n network) error {
	if err := d.lead(n, false); err != nil {
		return err
	}
	if err := removeBridge(n.bridge); err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("cannot remove bridge %q: %w", n.bridge, err)
	}
	return os.RemoveAll(d.bookOf(n)) // which address was given last
}

// deviceSocket is one by which devices of the agent's network are asked for and changed.
func deviceSocket() (int, error) {
	return unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
}

// device is the number of a network device, 0 where there is none of that name: what could
// not be found out is no sign that it is gone.
func device(name string) (uint32, error) {
	socket, err := deviceSocket()
	if err != nil {
		return 0, err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	err = unix.IoctlIfreq(socket, unix.SIOCGIFINDEX, request)
	if errors.Is(err, unix.ENODEV) {
		return 0, nil
	}
	return request.Uint32(), err
}

// removeBridge takes a bridge down and away.
func removeBridge(name string) error {
	if number, err := device(name); number == 0 || err != nil {
		return err // nothing can be said against what is not there
	}
	socket, err := deviceSocket()
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
