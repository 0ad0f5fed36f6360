package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
)

// Names are resolved by a file: each instance on a network has an /etc/hosts of its
// own, which is written anew, in its place, as others come and go. So names need no
// server that could be away.

// labelAddresses lists what addresses an instance has on its networks: net=10.1.2.3.
const labelAddresses = "holdfast.addresses"

// resident is an instance that others know by name.
type resident struct {
	id, app, name string
	addresses     map[string]string // by network
}

// hostsOf is the hosts file of one of the residents.
func hostsOf(own resident, all []resident) string {
	lines := []string{"127.0.0.1 localhost", "::1 localhost"}
	for _, network := range slices.Sorted(maps.Keys(own.addresses)) {
		lines = append(lines, own.addresses[network]+" "+hostname(own.name))
	}
	for _, other := range all {
		for _, network := range slices.Sorted(maps.Keys(own.addresses)) {
			address, there := other.addresses[network]
			switch {
			case !there || other.id == own.id:
			case other.app == own.app:
				lines = append(lines, address+" "+other.name)
			case strings.HasPrefix(network, linkMark):
				// Never by its name alone: that is one of its own app's, there or not.
				lines = append(lines, address+" "+other.name+"."+other.app)
			}
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// lendHosts gives an instance on networks a hosts file.
func (d *Driver) lendHosts(p *plan) error {
	if !p.workload.Connected() {
		return nil
	}
	if err := os.MkdirAll(d.hostsDir(), 0o711); err != nil {
		return fmt.Errorf("cannot create folder of hosts files: %w", err)
	}
	folder, err := filepath.EvalSymlinks(d.hostsDir())
	if err != nil {
		return fmt.Errorf("cannot find folder of hosts files: %w", err)
	}
	p.given.mounts = append(p.given.mounts, bindMount(filepath.Join(folder, p.id), "/etc/hosts", true))
	if len(p.workload.Outward) == 0 {
		return nil
	}
	p.given.mounts = append(p.given.mounts, bindMount(filepath.Join(filepath.Dir(folder), filepath.Base(d.resolvers())), "/etc/resolv.conf", true))
	return d.writeResolvers()
}

func (f *draft) makeHosts(context.Context) error {
	if !f.plan.workload.Connected() {
		return nil
	}
	return f.driver.writeHosts(f.resident(nil), nil)
}

func (f *draft) resident(addresses map[string]string) resident {
	return resident{f.plan.id, f.plan.workload.App, f.plan.workload.Name, addresses}
}

// writeHosts writes the file in its place, for a mount follows the file and not its
// name. Who reads it at that moment may see it in part.
func (d *Driver) writeHosts(own resident, all []resident) error {
	return writeInPlace(filepath.Join(d.hostsDir(), own.id), hostsOf(own, all))
}

// writeInPlace makes text what a file holds that instances see, unless it does already.
func writeInPlace(path, text string) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("cannot write file of names: %w", err)
	}
	_, err = file.WriteAt([]byte(text), 0)
	err = errors.Join(err, file.Truncate(int64(len(text))), file.Chmod(0o644), file.Close())
	if err != nil {
		return fmt.Errorf("cannot write file of names: %w", err)
	}
	return nil
}

// join puts an instance that stands ready on its networks, where it knows those that
// are there already.
func (f *draft) join(ctx context.Context) error {
	addresses, err := f.driver.connect(ctx, f.plan, f.pid)
	if err != nil || addresses == nil {
		return err
	}
	var pairs []string
	for _, a := range f.driver.attachments(f.plan.workload) {
		pairs = append(pairs, a.name+"="+addresses[a.name])
	}
	f.record.Labels[labelAddresses] = strings.Join(pairs, " ")
	f.driver.nets.naming.Lock()
	defer f.driver.nets.naming.Unlock()
	all, err := f.driver.residents(ctx, f.client)
	if err != nil {
		return err
	}
	return f.driver.writeHosts(f.resident(addresses), all)
}

// introduce makes all who are on networks known to each other.
func (d *Driver) introduce(ctx context.Context, c *client.Client) error {
	d.nets.naming.Lock()
	defer d.nets.naming.Unlock()
	all, err := d.residents(ctx, c)
	if err != nil {
		return fmt.Errorf("cannot tell instances of each other: %w", err)
	}
	var failed []error
	for _, own := range all {
		failed = append(failed, d.writeHosts(own, all))
	}
	return errors.Join(failed...)
}

// introduced is introduce where failing must not undo what was done: the next one who
// comes or goes makes up for it, or the daemon's return.
func (d *Driver) introduced(ctx context.Context, c *client.Client) {
	if err := d.introduce(ctx, c); err != nil {
		d.log.Warn("cannot tell instances of each other", "error", err)
	}
}

// residents lists who is on networks and runs.
func (d *Driver) residents(ctx context.Context, c *client.Client) ([]resident, error) {
	held, err := d.running(ctx, c, labelAddresses)
	var all []resident
	for _, r := range held {
		all = append(all, residentOf(r.ID, r.Labels))
	}
	return all, err
}

// runner is a container with a process.
type runner struct {
	containers.Container
	pid uint32
}

// running lists the containers that bear a label, and run.
func (d *Driver) running(ctx context.Context, c *client.Client, label string) ([]runner, error) {
	held, err := c.ContainerService().List(ctx, fmt.Sprintf("labels.%q", label))
	if err != nil || len(held) == 0 {
		return nil, native(err)
	}
	listed, err := c.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		return nil, native(err)
	}
	pids := map[string]uint32{}
	for _, process := range listed.Tasks {
		if process.Status != task.Status_STOPPED {
			pids[process.ID] = process.Pid
		}
	}
	var all []runner
	for _, container := range held {
		if pid := pids[container.ID]; pid != 0 {
			all = append(all, runner{container, pid})
		}
	}
	return all, nil
}

func residentOf(id string, labels map[string]string) resident {
	r := resident{id: id, addresses: addressesOf(labels)}
	r.app, r.name, _ = strings.Cut(labels[labelWorkload], "/")
	return r
}

// addressesOf reads what addresses an instance has, by network; nil for none.
func addressesOf(labels map[string]string) map[string]string {
	var addresses map[string]string
	for pair := range strings.FieldsSeq(labels[labelAddresses]) {
		if addresses == nil {
			addresses = map[string]string{}
		}
		network, address, _ := strings.Cut(pair, "=")
		addresses[network] = address
	}
	return addresses
}

// leaveNetworks takes what is left of an instance off its networks, and tells the
// others, if there is anything.
func (d *Driver) leaveNetworks(ctx context.Context, c *client.Client, id string) error {
	held, err := d.leases()
	if err != nil {
		return err
	}
	hosts := filepath.Join(d.hostsDir(), id)
	if _, err := os.Stat(hosts); errors.Is(err, fs.ErrNotExist) && len(held[id]) == 0 {
		return nil
	}
	if err := d.unplug(ctx, id); err != nil {
		return err
	}
	d.introduced(ctx, c)
	// Last: by it, the rest is found again.
	if err := os.Remove(hosts); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove hosts file: %w", err)
	}
	return nil
}
