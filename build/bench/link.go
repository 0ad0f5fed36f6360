package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"holdfast/build/mosquitto"
	"holdfast/build/stand"
	"holdfast/edge/fleet"
)

// link measures a node that belongs to a fleet: a governed agent with ten instances,
// Debian's mosquitto beside it, and the operator's own `holdfast fleet attend`, which
// keeps history in files and only then confirms it. Nothing counts as told before that.
// The state stands on a file system of its own, as in the section policy.
func (b *bench) link(ctx context.Context) (err error) {
	l, err := b.newLinked(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close(context.WithoutCancel(ctx))) }()
	for _, part := range []func(context.Context) error{
		l.weighAndStart, l.drain, l.answers, l.busy, l.idle, l.cutOff,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// The names the node and its site go by.
const (
	linkedNode = "bench"
	linkedSite = "bench"
)

// linked is the node with its fleet.
type linked struct {
	bench     *bench
	dir       string
	disk      *disk
	author    *author
	version   uint64 // of the policy, the latest that was signed
	broker    *mosquitto.Broker
	wire      *stand.Wire
	node      *stand.Stand
	attendant *exec.Cmd
	caller    *caller // asks the model
}

// queue is what docs/fleet.md has the broker keep for the attendant. With mosquitto's
// 1,000 a full backlog overtakes it, and what the broker drops comes again minutes later.
const queue = "max_queued_messages 10000"

// newLinked brings the node up under the factory policy, ten instances serving, and as
// yet with no fleet.
func (b *bench) newLinked(ctx context.Context) (l *linked, err error) {
	l = &linked{bench: b, dir: filepath.Join(b.stand.Folder(), "linked")}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close(context.WithoutCancel(ctx)))
		}
	}()
	if err := os.RemoveAll(l.dir); err != nil {
		return nil, err
	}
	if l.disk, err = newDisk(ctx, filepath.Join(l.dir, "disk")); err != nil {
		return nil, err
	}
	if l.author, err = newAuthor(ctx, filepath.Join(l.dir, "desk"), b.options.image); err != nil {
		return nil, err
	}
	if l.broker, err = mosquitto.Start(ctx, filepath.Join(l.dir, "broker"), queue); err != nil {
		return nil, err
	}
	if l.wire, err = stand.StretchWire(l.broker.Address()); err != nil {
		return nil, err
	}
	err = l.startNode(ctx)
	return l, err
}

// tenApps is what the node runs.
const tenApps = `
apps:
  line:
    services:
      digits:
        image: ` + sampleImage + `
        deploy: {replicas: 10, resources: {limits: {memory: 64M, pids: 32}}}
        x-holdfast: {model: digits, variants: [digits-lite], endpoint: "unix:///run/model/model.sock", cost: 2ms}
`

// sign gives the next version of the policy.
func (l *linked) sign(ctx context.Context, apps string) ([]byte, error) {
	l.version++
	return l.author.sign(ctx, l.version, apps)
}

func (l *linked) startNode(ctx context.Context) error {
	policy, err := l.sign(ctx, tenApps)
	if err != nil {
		return err
	}
	factory := filepath.Join(l.dir, "factory.json")
	if err := errors.Join(fleet.Write(factory, policy), l.configure("")); err != nil {
		return err
	}
	l.node, err = l.bench.stand.Beside(stand.Options{
		Dir: l.dir, Binary: l.bench.options.binary, Config: l.config(),
		Set: []string{
			"containerd.namespace=linked", "policy.trial=2s", "node.name=" + linkedNode, "node.site=" + linkedSite,
			"policy.root=" + l.author.root, "policy.factory=" + factory, "paths.state=" + filepath.Join(l.disk.path, "state"),
		},
	})
	if err != nil {
		return err
	}
	body, err := os.ReadFile("testdata/digits/3.json")
	if err != nil {
		return fmt.Errorf("cannot read request: %w", err)
	}
	l.caller = newCaller(l.node.Socket(), "digits-lite", body)
	if err := l.node.StartAgent(ctx); err != nil {
		return err
	}
	if err := l.node.Import(ctx, l.bench.options.image); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return l.node.AwaitInstances(ctx)
}

func (l *linked) config() string { return filepath.Join(l.dir, "config.yaml") }

// configure has the next start of the agent look for a broker, or for none.
func (l *linked) configure(broker string) error {
	return os.WriteFile(l.config(), fmt.Appendf(nil, "link: {broker: %q}\n", broker), 0o644)
}

// meet has somebody attend to the fleet, and starts the node anew as a part of it.
func (l *linked) meet(ctx context.Context) error {
	if err := l.attend(); err != nil {
		return err
	}
	if err := errors.Join(l.node.StopAgent(ctx), l.configure("tcp://"+l.wire.Address())); err != nil {
		return err
	}
	if err := l.node.StartAgent(ctx); err != nil {
		return err
	}
	return l.awaitTold(ctx)
}

func (l *linked) attend() error {
	l.attendant = exec.Command(l.bench.options.binary, "fleet", "attend", "--broker", "tcp://"+l.broker.Address(),
		"--site", linkedSite, "--keep", l.keep(), "--freshness", l.key("freshness-1"))
	l.attendant.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := l.attendant.Start(); err != nil {
		return fmt.Errorf("cannot attend to the fleet: %w", err)
	}
	return nil
}

func (l *linked) keep() string { return filepath.Join(l.dir, "fleet") }

func (l *linked) key(name string) string { return filepath.Join(l.dir, "desk", "keys", name+".key") }

// awaitTold returns once the fleet has confirmed everything.
func (l *linked) awaitTold(ctx context.Context) error {
	return l.awaitLink(ctx, "confirmed everything", func(up, confirms bool, waiting uint64) bool {
		return up && confirms && waiting == 0
	})
}

// awaitLink asks for the link until it is as wanted.
func (l *linked) awaitLink(ctx context.Context, what string, is func(up, confirms bool, waiting uint64) bool) error {
	const pause = 100 * time.Millisecond // an answer costs the agent about 1 ms
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		status, err := l.node.Client().Status(ctx)
		if err == nil && status.Link != nil && is(status.Link.Phase == "up", status.Link.Confirms, status.Link.Waiting()) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the fleet has not %s; the agent's log is %s", what, l.node.AgentLog()), err)
		}
	}
}

// ask sends tasks, one after the other.
func (l *linked) ask(ctx context.Context, tasks int) error {
	for range tasks {
		if _, err := l.caller.call(ctx); err != nil {
			return err
		}
	}
	return nil
}

// empty lets the node stop what it runs, whose output is written to the disk.
func (l *linked) empty(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	envelope, err := l.sign(ctx, "")
	if err != nil {
		return err
	}
	if _, err := l.node.Client().ApplyPolicy(ctx, envelope); err != nil {
		return err
	}
	return l.node.AwaitNothing(ctx)
}

func (l *linked) close(ctx context.Context) error {
	var errs []error
	if l.node != nil {
		errs = append(errs, l.empty(ctx), l.node.Close())
	}
	if l.attendant != nil && l.attendant.Process != nil {
		_ = l.attendant.Process.Signal(syscall.SIGTERM)
		errs = append(errs, l.attendant.Wait())
	}
	if l.wire != nil {
		errs = append(errs, l.wire.Close())
	}
	if l.broker != nil {
		errs = append(errs, l.broker.Kill())
	}
	if l.disk != nil {
		errs = append(errs, l.disk.close(ctx))
	}
	return errors.Join(errs...)
}
