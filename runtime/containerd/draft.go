package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/cio"
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

// create makes the record, the snapshot, the folders and the task, whose process
// then stands ready. It leaves nothing when it fails.
func (f *draft) create(ctx context.Context, stdio cio.Creator) error {
	defer f.plan.release()
	err := whole(ctx, func(ctx context.Context) (err error) {
		f.record, err = f.client.ContainerService().Create(ctx, f.record)
		return err
	})
	if err != nil {
		return native(err) // when it exists already, it is not ours to remove
	}
	for _, step := range []func(context.Context) error{
		f.makeFolders,
		f.makeSecrets,
		f.makeVolumes,
		f.makeHosts,
		f.prepareSnapshot,
		func(ctx context.Context) error { return f.createTask(ctx, stdio) },
	} {
		if err := whole(ctx, step); err != nil {
			return errors.Join(native(err), f.undo(ctx))
		}
	}
	return nil
}

func (f *draft) makeFolders(context.Context) error {
	if f.plan.workload.IsOneShot() {
		return f.makeTrays() // and no log, which would be a write to flash for each task
	}
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
		if err := f.join(ctx); err != nil {
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
		if err := f.answer(ctx); err != nil {
			return err
		}
		if err := f.vouch(ctx); err != nil {
			return err
		}
		if f.plan.workload.Connected() {
			f.driver.introduced(ctx, f.client)
		}
		return nil
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
		defer func() {
			f.streams.Wait() // nothing is written any more to whoever hears of the failure
			err = errors.Join(err, f.streams.Close())
		}()
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
		ID:        f.plan.id,
		Workload:  f.record.Labels[labelWorkload],
		SpecHash:  f.record.Labels[labelSpecHash],
		Image:     f.record.Labels[labelImage],
		Digest:    f.record.Labels[labelDigest],
		PID:       f.pid,
		Running:   true,
		Started:   f.record.CreatedAt,
		Socket:    f.plan.socket,
		LogPath:   f.driver.logPath(f.plan.id),
		Ports:     f.plan.workload.Ports,
		Addresses: addressesOf(f.record.Labels),
	}
}
