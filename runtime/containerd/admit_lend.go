package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"holdfast/edge"
)

// given is what a container has of its host, with every link followed.
type given struct {
	mounts  []specs.Mount
	devices []specs.LinuxDevice
	rules   []specs.LinuxDeviceCgroup
}

func (d *Driver) policy() *edge.Policy {
	if d.opts.Policy == nil {
		return nil
	}
	return d.opts.Policy()
}

// admitted asks the policy in force, which may be another than the one that wanted the
// workload to run.
func admitted(policy *edge.Policy, w edge.Workload) error {
	if policy == nil {
		return nil
	}
	return errors.Join(asErrors(policy.Admit(w))...)
}

func asErrors(violations []edge.Violation) []error {
	errs := make([]error, len(violations))
	for i, violation := range violations {
		errs[i] = violation
	}
	return errs
}

// lend finds what a workload is given of the host. A link must not lead out of what
// the policy lists: whoever may write beside it could point it anywhere.
func lend(w edge.Workload, who account, policy *edge.Policy) (given, error) {
	lent, errs := given{}, []error{w.CheckHost()}
	for i, bind := range w.Binds {
		source, err := follow(bind.Source, fmt.Sprintf("binds[%d].source", i), edge.ControlHostPaths, policy)
		lent.mounts, errs = append(lent.mounts, bindMount(source, bind.Target, bind.ReadOnly)), append(errs, err)
	}
	for i, device := range w.Devices {
		field := fmt.Sprintf("devices[%d].host", i)
		source, err := follow(device.Host, field, edge.ControlDevices, policy)
		if err == nil {
			err = lent.device(source, device, who)
		}
		errs = append(errs, err)
	}
	if w.Security.HostNetwork {
		lent.mounts = append(networkFiles(), lent.mounts...)
	}
	if w.Security.Privileged {
		errs = append(errs, lent.everyDevice())
	}
	return lent, errors.Join(errs...)
}

// follow returns where a path of the host leads to.
func follow(name, field string, control edge.Control, policy *edge.Policy) (string, error) {
	real, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: there is no %q on this node: %w", field, name, edge.ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("%s: cannot follow %q: %w", field, name, err)
	}
	if policy == nil || policy.Security.AllowsPath(real) {
		return real, nil
	}
	return "", edge.Violation{
		Control: control, Field: field, Asked: strconv.Quote(real) + ", where " + strconv.Quote(name) + " leads to,",
		Allow: "security.hostPaths: [" + real + "]",
	}
}

// bindMount shows one file system of the host, and none that is mounted below it: a
// kernel may know no way to make those read-only too.
func bindMount(source, target string, readOnly bool) specs.Mount {
	options := []string{"bind", "rprivate", "nosuid", "nodev"}
	if readOnly {
		options = append(options, "ro")
	}
	return specs.Mount{Destination: target, Type: "bind", Source: source, Options: options}
}

// networkFiles go with the host's network: a process there finds names as the host
// does. A bind of the same place comes in their stead.
func networkFiles() []specs.Mount {
	var mounts []specs.Mount
	for _, name := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if real, err := filepath.EvalSymlinks(name); err == nil { // a host may have neither
			mounts = append(mounts, bindMount(real, name, true))
		}
	}
	return mounts
}

// device adds one device. Its node belongs to the container's user, for the one of the
// host belongs to a user that is nobody inside; what may be done with it is bounded by
// the kernel's list of devices.
func (g *given) device(source string, asked edge.Device, who account) error {
	found, err := oci.DeviceFromPath(source)
	if errors.Is(err, oci.ErrNotADevice) || err == nil && found.Type == "p" {
		return fmt.Errorf("%q is not a device: %w", source, edge.ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("cannot look at device %q: %w", source, err)
	}
	mode := fs.FileMode(0)
	for right, bits := range map[string]fs.FileMode{"r": 0o400, "w": 0o200} {
		if strings.Contains(asked.Rights(), right) {
			mode |= bits
		}
	}
	found.Path, found.FileMode, found.UID, found.GID = asked.Target(), &mode, &who.uid, &who.gid
	g.devices = append(g.devices, *found)
	g.rules = append(g.rules, specs.LinuxDeviceCgroup{Allow: true, Type: found.Type, Major: &found.Major, Minor: &found.Minor, Access: asked.Rights()})
	return nil
}

// everyDevice is for privileged containers.
func (g *given) everyDevice() error {
	devices, err := oci.HostDevices()
	if err != nil {
		return fmt.Errorf("cannot list the host's devices: %w", err)
	}
	g.devices = append(devices, g.devices...)
	g.rules = append(g.rules, specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"})
	return nil
}
