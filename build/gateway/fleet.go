package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/build/rootfs"
	"holdfast/edge"
	"holdfast/edge/cli"
)

// The versions a fleet brings: one that is well, and one whose agent ends at once.
const (
	goodVersion   = "proof-2"
	brokenVersion = "proof-3"
)

// card is the name of the network card of a machine that has one.
const card = "card"

// proveFleet does what a field engineer and a fleet do: flash a disk with a site file, start
// it with no cable in, see it serve; put the cable in, and update its agent twice, to a good
// version and to a broken one.
func (p *place) proveFleet(ctx context.Context, o options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d, err := p.newDesk(ctx, o)
	if err != nil {
		return err
	}
	if err := errors.Join(
		d.release(ctx, goodVersion, 2, ".", ""),
		d.release(ctx, brokenVersion, 3, "./build/e2e/testdata/otheragent", "-X main.real=/usr/bin/holdfast -X main.mode=ending"),
		d.open(ctx),
	); err != nil {
		return err
	}
	defer d.wait()
	defer cancel()
	disk := p.path("fleet.img")
	defer os.Remove(disk)
	if err := d.flash(ctx, disk); err != nil {
		return err
	}
	m, err := p.ready(o, disk)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	socket := p.path("monitor.sock")
	m.added = []string{
		"-S", "-qmp", "unix:" + socket + ",server=on,wait=off", "-netdev",
		"user,id=cable,restrict=on,guestfwd=tcp:" + brokerHost + ":" + brokerPort + "-cmd:" + program + " forward " + d.broker +
			",guestfwd=tcp:" + shelfHost + ":" + shelfPort + "-cmd:" + program + " forward " + d.shelf,
		"-device", "virtio-net-pci,netdev=cable,id=" + card,
	}
	m.added = append(m.added, p.screen()...)
	w := newWatch(o.proof.verbose)
	go func() { w.end(m.on(ctx, w.add)) }()
	monitor, err := dialMonitor(ctx, socket)
	if err != nil {
		return errors.Join(err, w.ended())
	}
	defer func() { _ = monitor.Close() }() // the machine ends with this
	return errors.Join((&story{d: d, w: w, monitor: monitor}).tell(ctx), ctx.Err())
}

// flash writes the image to a file of a disk's size, with the site file; and afterwards what
// tells, since nobody can log in.
func (d *desk) flash(ctx context.Context, disk string) error {
	if err := errors.Join(os.RemoveAll(disk), rootfs.Write(disk, nil, 0o644), os.Truncate(disk, proofSize)); err != nil {
		return err
	}
	args := []string{"flash", d.p.image() + ".zst", disk, "--site", d.path("site/line-3.yaml"), "--yes", filepath.Base(disk)}
	fmt.Printf("    $ holdfast %s\n", strings.ReplaceAll(strings.Join(args, " "), d.p.out+"/", ""))
	out := &indented{to: os.Stdout}
	if code := cli.Main(ctx, cli.Process{Args: args, Stdout: out, Stderr: out}); code != cli.ExitOK {
		return fmt.Errorf("cannot flash: exit code %d", code)
	}
	folder := d.p.path("armed")
	defer os.RemoveAll(folder)
	if err := d.p.scripts(folder, "fleet"); err != nil {
		return err
	}
	if trial := d.o.proof.trial; trial > 0 {
		text := fmt.Sprintf("update: {confirmAfter: %v}\n", trial)
		if err := rootfs.Write(filepath.Join(folder, "proof/90-proof.yaml"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return d.p.tell(ctx, disk, folder, d.p.proofWords())
}

// story is what becomes of a gateway in the hands of its fleet.
type story struct {
	d       *desk
	w       *watch
	monitor *monitor
	first   seen // when its cable was put in
}

// tell tells it to its end.
func (s *story) tell(ctx context.Context) error {
	for _, part := range []func(context.Context) error{s.offline, s.connect, s.good, s.broken} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	fmt.Printf("gateway: %s: it was updated and fell back by itself; it was never started anew, and its instances are the same processes\n", s.d.p.name)
	return nil
}

// offline starts it, and wants it to serve by the policy of its site file, with no cable in.
func (s *story) offline(ctx context.Context) error {
	if err := errors.Join(s.monitor.plug(ctx, false), s.monitor.do(ctx, "cont", nil)); err != nil {
		return err
	}
	now, err := s.w.until(ctx, "it serves", s.d.o.proof.within, func(now *seen) bool { return now.over() && now.boot != "" })
	if err != nil {
		return err
	}
	wrong := now.serving(group3, 1)
	wrong.unless(now.status.Node == nodeName, "it calls itself %q, want %s", now.status.Node, nodeName)
	wrong.unless(now.status.Link != nil && now.status.Link.Phase != "up", "its link is %+v with no cable in", now.status.Link)
	if err := wrong.of(s.d.p.name); err != nil {
		return err
	}
	now.print(os.Stdout)
	fmt.Printf("gateway: %s serves with no cable in, by policy %s version 1 of its site file: version %s, instances %v\n",
		nodeName, group3, now.status.Version, pids(now.status))
	return s.picture(ctx, "offline")
}

// connect puts the cable in.
func (s *story) connect(ctx context.Context) error {
	began := time.Now()
	if err := s.monitor.plug(ctx, true); err != nil {
		return err
	}
	now, err := s.w.until(ctx, "its link is up", s.d.o.proof.within, func(now *seen) bool { return now.status.Link != nil && now.status.Link.Phase == "up" })
	if err != nil {
		return err
	}
	s.first = now
	fmt.Printf("gateway: its link is up %.0f s after the cable was put in\n", time.Since(began).Seconds())
	if said, code := s.d.fleet(ctx, "nodes"); code != cli.ExitOK || !strings.Contains(said, "online") {
		return fmt.Errorf("its fleet does not see it: exit code %d", code)
	}
	return s.picture(ctx, "connected")
}

// good updates it to a version that is well.
func (s *story) good(ctx context.Context) error {
	began := time.Now()
	if said, code := s.d.update(ctx, goodVersion); code != cli.ExitOK || !strings.Contains(said, "succeeded") {
		return fmt.Errorf("the update to %s ended with exit code %d", goodVersion, code)
	}
	fmt.Printf("gateway: the final reply came %.0f s after the command\n", time.Since(began).Seconds())
	now, err := s.w.until(ctx, "it runs "+goodVersion, time.Minute, func(now *seen) bool {
		return now.status.Version == goodVersion && !now.status.Agent.Trial && now.status.Agent.Sequence == 2
	})
	if err != nil {
		return err
	}
	return s.same(ctx, now, goodVersion)
}

// broken updates it to one that ends at once, and wants it to come back by itself.
func (s *story) broken(ctx context.Context) error {
	began := time.Now()
	said, code := s.d.update(ctx, brokenVersion)
	if code != cli.ExitFailed || !strings.Contains(said, "version_rejected") {
		return fmt.Errorf("the update to %s ended with exit code %d, want it rejected", brokenVersion, code)
	}
	fmt.Printf("gateway: the final reply came %.0f s after the command\n", time.Since(began).Seconds())
	now, err := s.w.until(ctx, "it has come back to "+goodVersion, time.Minute, func(now *seen) bool {
		return now.status.Version == goodVersion && slices.ContainsFunc(now.status.Agent.Rejected, func(r edge.RejectedVersion) bool { return r.Version == brokenVersion })
	})
	if err != nil {
		return err
	}
	for _, one := range now.status.Agent.Rejected {
		fmt.Printf("gateway: it says: %s was left: %s\n", one.Version, one.Why)
	}
	return s.same(ctx, now, "after")
}

// same wants nothing else to have changed: the start of the machine, and the processes of
// instances; and it has to work on.
func (s *story) same(ctx context.Context, now seen, picture string) error {
	// An agent that was started just now has to find them first, and may have tasks of before.
	now, err := s.w.until(ctx, "it answers", 2*time.Minute, func(later *seen) bool {
		return later.work > now.work && later.status.Version == now.status.Version && len(pids(later.status)) > 0
	})
	if err != nil {
		return err
	}
	var wrong faults
	wrong.unless(now.boot == s.first.boot, "it was started anew: %s, it was %s", now.boot, s.first.boot)
	wrong.unless(slices.Equal(pids(now.status), pids(s.first.status)), "its instances are %v, they were %v", pids(now.status), pids(s.first.status))
	if err := wrong.of(s.d.p.name); err != nil {
		return err
	}
	fmt.Printf("gateway: it runs %s from slot %s (process %d), instances %v as before, %d tasks answered since power-on\n",
		now.status.Version, now.status.Agent.Slot, now.status.PID, pids(now.status), now.works)
	return s.picture(ctx, picture)
}

// picture keeps what its screen shows.
func (s *story) picture(ctx context.Context, name string) error {
	if s.d.p.screen() == nil {
		return nil
	}
	return s.monitor.picture(ctx, s.d.p.path("screen-"+name+".png"))
}

// pids are the processes of what runs.
func pids(status edge.Status) (all []uint32) {
	for _, view := range status.Workloads {
		for _, instance := range view.Instances {
			if instance.Running {
				all = append(all, instance.PID)
			}
		}
	}
	slices.Sort(all)
	return all
}

// watch is what a machine that runs on has told so far. It may be asked by one goroutine
// while another adds.
type watch struct {
	verbose bool
	news    chan struct{} // something was told since it was looked at
	gone    chan struct{} // closed when the machine has ended

	mu  sync.Mutex // guards now and why
	now seen
	why error
}

func newWatch(verbose bool) *watch {
	return &watch{verbose: verbose, news: make(chan struct{}, 1), gone: make(chan struct{})}
}

// add takes note of a line; it never has enough.
func (w *watch) add(t told) (bool, error) {
	if w.verbose {
		t.print()
	}
	w.mu.Lock()
	err := w.now.add(t)
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default: // it is known that there is something
	}
	return false, err
}

// end notes that the machine has ended, and why.
func (w *watch) end(why error) {
	w.mu.Lock()
	w.why = why
	w.mu.Unlock()
	close(w.gone)
}

// ended is why it has; nil while it has not.
func (w *watch) ended() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// until waits until it is as it has to be, and returns how it stands then.
func (w *watch) until(ctx context.Context, what string, within time.Duration, is func(*seen) bool) (seen, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		w.mu.Lock()
		now := w.now
		w.mu.Unlock()
		if is(&now) {
			return now, nil
		}
		select {
		case <-w.news:
		case <-w.gone:
			return now, fmt.Errorf("cannot see that %s: %w", what, w.ended())
		case <-ctx.Done():
			return now, fmt.Errorf("cannot see that %s: %w; the last it told: %s %.500s", what, ctx.Err(), now.last.what, now.last.rest)
		}
	}
}
