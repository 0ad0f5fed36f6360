package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/typeurl/v2"

	"holdfast/edge"
)

// draft is a container that is being brought up. Its record is written before its
// snapshot, and names it: whatever is left when the agent dies in between is found
// by the record's labels and removed with it.
type draft struct {
	driver *Driver
	client *client.Client
	plan   plan
	image  image
	guise  guise
	record containers.Container
	rootfs []mount.Mount
	pid    uint32
	// streams is the agent's end of the output, when it has one.
	streams cio.IO
}

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
	if draft.record, err = d.record(ctx, draft.plan, img); err != nil {
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
		cgroup: d.cgroupPath(id), shared: d.instanceDir(id),
	}
	if w.Serve == nil {
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

// create makes the record, the snapshot, the folders and the task, whose process
// then stands ready. It leaves nothing when it fails.
func (f *draft) create(ctx context.Context, stdio cio.Creator) error {
	err := whole(ctx, func(ctx context.Context) (err error) {
		f.record, err = f.client.ContainerService().Create(ctx, f.record)
		return err
	})
	if err != nil {
		return native(err) // when it exists already, it is not ours to remove
	}
	for _, step := range []func(context.Context) error{
		f.makeFolders,
		f.prepareSnapshot,
		func(ctx context.Context) error { return f.createTask(ctx, stdio) },
	} {
		if err := whole(ctx, step); err != nil {
			return errors.Join(native(err), f.undo(ctx))
		}
	}
	return nil
}

const (
	// stepWithin bounds one step of a start, on a board that is short of everything.
	stepWithin = time.Minute
	// hurryWithin bounds a step, and the cleaning up after it, once the caller has
	// given up: twice this fits the time in which an agent must end. What is cut
	// off bears labelStarting and is removed by the next agent.
	hurryWithin = 4 * time.Second
)

// whole takes a step to its end once it has begun. The daemon would go on with a
// task whose caller hung up, and might finish it after it was cleaned up.
func whole(ctx context.Context, step func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := outlive(ctx, stepWithin, hurryWithin)
	defer cancel()
	return step(ctx)
}

// outlive returns a context that lasts for within, or for after once ctx has ended.
func outlive(ctx context.Context, within, after time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-longer.Done():
		case <-timer.C:
			cancel()
		}
	})
	return longer, func() {
		stop()
		cancel()
	}
}

func (f *draft) makeFolders(context.Context) error {
	log, err := os.OpenFile(f.driver.logPath(f.plan.id), os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("cannot create log: %w", err)
	}
	if err := log.Close(); err != nil {
		return fmt.Errorf("cannot create log: %w", err)
	}
	if f.plan.endpoint == "" {
		return nil
	}
	dir := f.plan.shared
	// One of the same name can only be left from a daemon that lost its metadata.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot clear instance folder: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("cannot create instance folder: %w", err)
	}
	if err := os.Chown(dir, int(f.plan.account.uid), int(f.plan.account.gid)); err != nil {
		return fmt.Errorf("cannot give instance folder to its user: %w", err)
	}
	return nil
}

func (f *draft) prepareSnapshot(ctx context.Context) error {
	store := f.client.SnapshotService(f.driver.opts.Snapshotter)
	rootfs, err := store.Prepare(ctx, f.plan.id, f.image.parent)
	f.rootfs = rootfs
	return err
}

func (f *draft) createTask(ctx context.Context, stdio cio.Creator) error {
	streams, err := stdio(f.plan.id)
	if err != nil {
		return fmt.Errorf("cannot open output: %w", err)
	}
	f.streams = streams
	paths := streams.Config()
	request := &tasks.CreateTaskRequest{
		ContainerID: f.plan.id, Stdin: paths.Stdin, Stdout: paths.Stdout, Stderr: paths.Stderr,
		Options: typeurl.MarshalProto(f.record.Runtime.Options),
	}
	for _, m := range f.rootfs {
		request.Rootfs = append(request.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	created, err := f.client.TaskService().Create(ctx, request)
	if err != nil {
		return native(err)
	}
	f.pid = created.Pid
	return nil
}

// run lets the process go and looks at what it became.
func (f *draft) run(ctx context.Context) error {
	return whole(ctx, func(ctx context.Context) error {
		if err := verifyBinds(f.pid, f.plan.given.mounts); err != nil {
			return err
		}
		started, err := f.client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: f.plan.id})
		if err != nil {
			return native(err)
		}
		f.pid = started.Pid
		if err := verify(ctx, f.pid, f.guise); err != nil {
			return err
		}
		return f.vouch(ctx)
	})
}

// vouch records that the instance is what was asked for. Until then it is listed
// as one to be removed, whatever becomes of this agent.
func (f *draft) vouch(ctx context.Context) error {
	delete(f.record.Labels, labelStarting)
	if _, err := f.client.ContainerService().Update(ctx, f.record, "labels"); err != nil {
		return fmt.Errorf("cannot record that it is sound: %w", native(err))
	}
	return nil
}

// teardownWithin bounds the removal of a container that failed to start.
const teardownWithin = 30 * time.Second

// undo removes what was made, trying again while there is time. What is left even
// then bears labelStarting.
func (f *draft) undo(ctx context.Context) (err error) {
	if f.streams != nil {
		f.streams.Cancel()
		defer func() { err = errors.Join(err, f.streams.Close()) }()
	}
	ctx, cancel := outlive(ctx, teardownWithin, hurryWithin)
	defer cancel()
	for pause := newPause(); ; {
		err := f.driver.remove(ctx, f.client, f.plan.id)
		if err == nil {
			return nil
		}
		if pause.wait(ctx) != nil {
			return fmt.Errorf("cannot clean up after it: %w", err)
		}
	}
}

func (f *draft) instance() edge.Instance {
	return edge.Instance{
		ID:       f.plan.id,
		Workload: f.record.Labels[labelWorkload],
		SpecHash: f.record.Labels[labelSpecHash],
		Image:    f.record.Labels[labelImage],
		Digest:   f.record.Labels[labelDigest],
		PID:      f.pid,
		Running:  true,
		Started:  f.record.CreatedAt,
		Socket:   f.plan.socket,
		LogPath:  f.driver.logPath(f.plan.id),
	}
}
