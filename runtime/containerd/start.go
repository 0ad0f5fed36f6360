package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/typeurl/v2"

	"holdfast/edge"
)

// Start creates and starts one instance.
func (d *Driver) Start(ctx context.Context, w edge.Workload, id string) (edge.Instance, error) {
	instance, err := d.start(d.scope(ctx), w, id)
	if err != nil {
		return edge.Instance{}, fmt.Errorf("cannot start instance %q of workload %q: %w", id, w.Key(), err)
	}
	return instance, nil
}

func (d *Driver) start(ctx context.Context, w edge.Workload, id string) (edge.Instance, error) {
	if err := d.hands.start(id); err != nil {
		return edge.Instance{}, err
	}
	defer d.hands.started(id)
	draft, err := d.prepare(ctx, w, id)
	if err != nil {
		return edge.Instance{}, err
	}
	if err := draft.create(ctx, cio.LogFile(d.logPath(id))); err != nil {
		return edge.Instance{}, err
	}
	if err := draft.run(ctx); err != nil {
		return edge.Instance{}, errors.Join(err, draft.undo(ctx))
	}
	d.freezers.meet(id, draft.pid, draft.record.Spec)
	return draft.instance(), nil
}

// prepare checks everything that can be known before anything is made.
func (d *Driver) prepare(ctx context.Context, w edge.Workload, id string) (*draft, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	c, err := d.conn()
	if err != nil {
		return nil, err
	}
	img, err := d.resolve(ctx, c, w.Image)
	if err != nil {
		return nil, err
	}
	// Here, for it may take minutes, and the steps of create must be short.
	if err := d.unpack(ctx, c, img); err != nil {
		return nil, err
	}
	draft := &draft{driver: d, client: c, image: img}
	if draft.plan, err = d.plan(ctx, c, w, id, img); err != nil {
		return nil, err
	}
	draft.guise = draft.plan.guise()
	around := d.enclose(w, id)
	draft.plan.cgroup, draft.plan.release = around.group, around.release
	if w.IOWeight > 0 && d.weighsDisk() {
		draft.plan.ioWeight = w.IOWeight
	}
	if draft.record, err = d.record(ctx, draft.plan, img); err != nil {
		around.release()
		return nil, err
	}
	return draft, nil
}

// checkID holds an id to what containerd takes and to what may be a file's name.
func checkID(id string) error {
	if err := identifiers.Validate(id); err != nil {
		return fmt.Errorf("instance id: %w: %w", edge.ErrInvalid, err)
	}
	return nil
}

func (d *Driver) plan(ctx context.Context, c *client.Client, w edge.Workload, id string, img image) (plan, error) {
	policy := d.policy()
	if err := admitted(policy, w); err != nil {
		return plan{}, err
	}
	config, err := merge(w, img)
	if err != nil {
		return plan{}, err
	}
	who, err := d.account(ctx, c, w, img)
	if err != nil {
		return plan{}, err
	}
	caps, err := capabilitiesOf(w.Security)
	if err != nil {
		return plan{}, err
	}
	lent, err := lend(w, who, policy)
	if err != nil {
		return plan{}, err
	}
	p := plan{
		id: id, workload: w, config: config, account: who, caps: caps, given: lent,
		limits: withDefaults(w.Limits, d.opts.Defaults),
		shared: d.instanceDir(id),
	}
	if err := errors.Join(d.confide(&p), d.lendVolumes(&p), d.lendHosts(&p)); err != nil {
		return plan{}, err
	}
	if w.Serve == nil {
		return p, nil
	}
	if w.IsOneShot() {
		p.trays = d.trays(w.Serve.OneShot, id)
		return p, nil
	}
	if p.endpoint, err = endpointPath(w.Serve.Endpoint); err != nil {
		return plan{}, err
	}
	p.socket, err = d.hostSocket(id, p.endpoint)
	return p, err
}

// record is the container as containerd keeps it.
func (d *Driver) record(ctx context.Context, p plan, img image) (containers.Container, error) {
	stopSignal, err := parseSignal(cmp.Or(p.workload.StopSignal, img.config.StopSignal, "SIGTERM"))
	if err != nil {
		return containers.Container{}, err
	}
	labels, err := labelsOf(p, img, stopSignal)
	if err != nil {
		return containers.Container{}, err
	}
	spec, err := p.spec(ctx, d.opts.Namespace)
	if err != nil {
		return containers.Container{}, err
	}
	if err := errors.Join(asErrors(admit(spec, p.permit()))...); err != nil {
		return containers.Container{}, fmt.Errorf("what was made for it is not what it may be: %w", err)
	}
	encoded, err := typeurl.MarshalAny(spec)
	if err != nil {
		return containers.Container{}, fmt.Errorf("cannot encode spec: %w", err)
	}
	// Its own root keeps runc's state apart from that of other daemons, and a
	// keyring of its own would only count against a quota.
	options, err := typeurl.MarshalAny(&runcoptions.Options{Root: d.runcRoot(), NoNewKeyring: true})
	if err != nil {
		return containers.Container{}, fmt.Errorf("cannot encode runtime options: %w", err)
	}
	return containers.Container{
		ID: p.id, Labels: labels, Image: img.name, Spec: encoded,
		Runtime:     containers.RuntimeInfo{Name: plugins.RuntimeRuncV2, Options: options},
		Snapshotter: d.opts.Snapshotter, SnapshotKey: p.id,
	}, nil
}
