package drivertest_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
)

// flaw is one thing a driver can get wrong.
type flaw string

const (
	none            flaw = ""
	forgetsHash     flaw = "forgets the spec hash"
	listsNothing    flaw = "lists nothing"
	startsTwice     flaw = "starts twice under one id"
	startsAnything  flaw = "starts without an image"
	leavesRecord    flaw = "leaves a record of what is removed"
	losesCode       flaw = "loses the exit code"
	forgetsExit     flaw = "tells an exit only once"
	ignoresContext  flaw = "waits on after its context ended"
	waitsForNothing flaw = "says that nothing has ended well"
	onlyKills       flaw = "kills without asking"
	neverKills      flaw = "kills before its grace is over"
	stopsOnce       flaw = "cannot stop what has ended"
	removesOnce     flaw = "cannot remove what is gone"
	losesInstances  flaw = "knows only what it started itself"
	losesExits      flaw = "knows only ends it saw itself"
	guessesUsage    flaw = "measures what is not there"
	noUsage         flaw = "measures nothing"
	noOOM           flaw = "does not tell why the kernel killed"
	onlyPretends    flaw = "suspends without halting"
	neverResumes    flaw = "does not resume"
	suspendsNothing flaw = "suspends what is not there"
	listThaws       flaw = "resumes what it lists"
	stopsFrozen     flaw = "asks what is halted to end"
	killsFrozen     flaw = "kills what is halted"
	removesFrozen   flaw = "removes what is halted before its end"
	adoptsFrozen    flaw = "leaves suspended what another has suspended"
)

// store is what drivers over one daemon share.
type store struct {
	hub *hub

	mu        sync.Mutex // guards what follows
	instances map[string]*process
	readied   map[string]*readied // for one task each
}

// process is an instance in memory. Its image says how it behaves.
type process struct {
	edge.Instance
	store    *store
	workload edge.Workload
	ended    chan struct{}
	exit     edge.Exit // valid once ended is closed
	told     bool
	starter  *driver
	halted   *driver // by whom; nil: it is not
}

// driver keeps every promise, but for its flaw.
type driver struct {
	*store
	flaw flaw
}

var (
	_ runtime.Driver    = (*driver)(nil)
	_ runtime.Suspender = (*driver)(nil)
)

func (d *driver) Start(ctx context.Context, w edge.Workload, id string) (edge.Instance, error) {
	if err := ctx.Err(); err != nil && d.flaw != startsLate {
		return edge.Instance{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.Image == "unknown" && d.flaw != startsAnything {
		return edge.Instance{}, edge.WithHint(fmt.Errorf("no image: %w", edge.ErrNotFound), "import it")
	}
	if _, ok := d.instances[id]; ok && d.flaw != startsTwice {
		return edge.Instance{}, fmt.Errorf("instance: %w", edge.ErrExists)
	}
	p := &process{store: d.store, workload: w, ended: make(chan struct{}), starter: d, Instance: edge.Instance{
		ID: id, Workload: w.Key(), SpecHash: w.SpecHash(), Image: w.Image, Digest: "sha256:00",
		PID: 1, Running: true, Started: time.Now(), LogPath: "/log/" + id,
	}}
	if d.flaw == forgetsHash {
		p.SpecHash = ""
	}
	d.instances[id] = p
	p.tell(edge.InstanceStarted, nil)
	switch w.Image {
	case "exit":
		var code uint32
		fmt.Sscan(w.Command[0], &code)
		p.end(edge.Exit{Code: code})
		p.Running = true // it was, when Start returned
		defer func() { p.Running = false }()
	case "eat":
		defer p.end(edge.Exit{Code: 137, Signal: "SIGKILL", OOM: d.flaw != noOOM})
	}
	return p.Instance, nil
}

// end closes a process's life once.
func (p *process) end(exit edge.Exit) {
	select {
	case <-p.ended:
	default:
		exit.At = time.Now()
		p.exit, p.Running = exit, false
		if exit.OOM {
			p.tell(edge.InstanceOutOfMemory, nil)
		}
		p.tell(edge.InstanceExited, &exit)
		close(p.ended)
	}
}

func (d *driver) find(id string) *process {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.instances[id]
	if p != nil && d.flaw == losesInstances && p.starter != d {
		return nil
	}
	return p
}

func (d *driver) Instances(context.Context) ([]edge.Instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []edge.Instance
	for _, p := range d.instances {
		if d.flaw == listsNothing || d.flaw == losesInstances && p.starter != d {
			continue
		}
		instance := p.Instance
		if p.halted != d && d.flaw != adoptsFrozen || d.flaw == listThaws {
			p.halted = nil
		}
		if !p.Running {
			instance.Exit = &p.exit
		}
		list = append(list, instance)
	}
	return list, nil
}

func (d *driver) Wait(ctx context.Context, id string) (edge.Exit, error) {
	p := d.find(id)
	if p == nil {
		if d.flaw == waitsForNothing {
			return edge.Exit{}, nil
		}
		return edge.Exit{}, fmt.Errorf("instance: %w", edge.ErrNotFound)
	}
	if d.flaw == ignoresContext {
		ctx = context.Background()
		d.mu.Lock()
		p.end(edge.Exit{}) // so that it comes back at all
		d.mu.Unlock()
	}
	select {
	case <-ctx.Done():
		return edge.Exit{}, ctx.Err()
	case <-p.ended:
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flaw == forgetsExit && p.told {
		return edge.Exit{Code: 255, At: p.exit.At}, nil
	}
	p.told = true
	if d.flaw == losesCode || d.flaw == losesExits && p.starter != d {
		return edge.Exit{Code: 255, At: p.exit.At}, nil
	}
	return p.exit, nil
}

func (d *driver) Stop(ctx context.Context, id string, grace time.Duration) error {
	p := d.find(id)
	if p == nil {
		return nil
	}
	d.mu.Lock()
	if d.flaw != stopsFrozen && (d.flaw != killsFrozen || grace > 0) {
		p.halted = nil
	}
	running, asks := p.Running, p.workload.Image == "sleep" && p.halted == nil
	if asks && d.flaw != onlyKills {
		p.end(edge.Exit{})
	}
	d.mu.Unlock()
	if !running && d.flaw == stopsOnce {
		return edge.ErrUnavailable
	}
	if d.flaw == neverKills || d.flaw == onlyKills {
		grace = 0
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		d.kill(p)
	}
	return nil
}

// kill does as the kernel with what is halted: nothing.
func (d *driver) kill(p *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.halted != nil {
		return
	}
	p.end(edge.Exit{Code: 137, Signal: "SIGKILL"})
}

func (d *driver) Remove(_ context.Context, id string) error {
	d.dropReady(id)
	p := d.find(id)
	if p == nil {
		if d.flaw == removesOnce {
			return edge.ErrNotFound
		}
		return nil
	}
	if d.flaw != removesFrozen {
		_ = d.Resume(context.Background(), id)
	}
	d.kill(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.Running {
		return edge.ErrUnavailable
	}
	if d.flaw != leavesRecord {
		delete(d.instances, id)
		p.tell(edge.InstanceRemoved, nil)
	}
	return nil
}

func (d *driver) Usage(_ context.Context, id string) (edge.Usage, error) {
	p := d.find(id)
	if p == nil && d.flaw != guessesUsage {
		return edge.Usage{}, fmt.Errorf("instance: %w", edge.ErrNotFound)
	}
	if p == nil || d.flaw == noUsage {
		return edge.Usage{}, nil
	}
	return edge.Usage{Memory: 1, MemoryLimit: uint64(p.workload.Limits.Memory), Pids: 1}, nil
}
