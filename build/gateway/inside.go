package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/build/rootfs"
	"holdfast/build/vm/order"
	"holdfast/edge"
)

// insideStep are tests that are run on the gateway itself: those of build/vm, which see
// cgroups and the service manager of the system that is shipped there.
type insideStep struct {
	name, pkg, tests string
	within           time.Duration
}

// insideSteps leave out the tests that write into the system, which a gateway refuses, and
// those that need an answer within so many milliseconds.
func insideSteps() []insideStep {
	return []insideStep{
		{"service", "build/vm/inside", "^Test(Machine|Service_(Boot|Exposure|Sandbox|Cgroups|Stop|Restart|Killed|Watchdog|Containerd)|Node_(Limits|Protected|Usage|Doctor))", 20 * time.Minute},
		{"driver", "runtime/containerd", "^TestDriver_(Suite|Tenant|MemoryOfAll|Suspend|ExecIn|Weigh|DiskWeight|Confined|Hardening|Agent|Half|Sweep|Daemon|Shim|RunOnce|OtherRunDir|OneShot)", time.Hour},
	}
}

// line is what the gateway is told of a step.
func (s insideStep) line() string {
	program := filepath.Join(order.Tests, strings.ReplaceAll(s.pkg, "/", "-")+".test")
	return fmt.Sprintf("%s %s %s -test.v -test.timeout=%v -test.run=%s\n", s.name, s.pkg, program, s.within, s.tests)
}

// proveInside leaves the gateway alone for a while, and measures; then it runs tests on it.
func (p *place) proveInside(ctx context.Context, o options) error {
	steps, lines := []insideStep(nil), ""
	for _, step := range insideSteps() {
		if strings.Contains(o.proof.inside, step.name) {
			if o.proof.tests != "" {
				step.tests = o.proof.tests
			}
			steps, lines = append(steps, step), lines+step.line()
			o.proof.within += step.within
		}
	}
	o.proof.within += o.proof.idle
	disk, second := p.path("proof.img"), p.path("inside.img")
	defer os.Remove(disk)
	defer os.Remove(second)
	if err := errors.Join(p.copied(ctx, o, disk), p.armInside(ctx, o, disk, lines)); err != nil {
		return err
	}
	m, err := p.ready(o, disk)
	if err != nil {
		return err
	}
	socket := p.path("monitor.sock")
	m.added = append([]string{"-qmp", "unix:" + socket + ",server=on,wait=off"}, p.screen()...)
	if steps != nil {
		if err := p.payload(ctx, second, o.proof.inside); err != nil {
			return err
		}
		m.added = append(m.added, "-m", "2G", "-drive", "if=none,id=second,format=raw,file="+second, "-device", "virtio-blk-pci,drive=second")
	}
	var pictured error
	s, failed := m.start(ctx, o, func(s *seen) bool {
		if !o.proof.verbose && (s.last.what == "line" || s.last.what == "ran") {
			s.last.print()
		}
		if s.last.what == "failed" && m.name == "amd64" { // it serves, and its console says so
			pictured = photograph(ctx, socket, p.path("screen-factory.png"))
		}
		return s.over() || pictured != nil
	})
	return errors.Join(failed, pictured, s.judgeInside(p.name, steps))
}

// photograph keeps what the machine's screen shows.
func photograph(ctx context.Context, socket, to string) error {
	monitor, err := dialMonitor(ctx, socket)
	if err != nil {
		return err
	}
	return errors.Join(monitor.picture(ctx, to), monitor.Close())
}

// judgeInside says how the gateway stood, what was written, and what did not pass.
func (s *seen) judgeInside(arch string, steps []insideStep) error {
	wrong := s.serving("factory", 1)
	for _, step := range steps {
		code, ran := s.ran[step.name]
		wrong.unless(ran && code == 0, "step %s: run to its end: %v, exit code %d", step.name, ran, code)
		wrong.unless(s.passed[step.name] > 0, "step %s has run no test", step.name)
		fmt.Printf("gateway: step %s: %d tests passed, %d failed\n", step.name, s.passed[step.name], s.notPassed[step.name])
	}
	s.print(os.Stdout)
	s.printDisk(os.Stdout)
	return wrong.of(arch)
}

// copied makes the disk of a proof of the image.
func (p *place) copied(ctx context.Context, o options, disk string) error {
	from := o.proof.disk
	if from == "" {
		from = p.image()
	}
	if err := rootfs.Complete(rootfs.Command(ctx, "cp", "--sparse=always", from, disk), group); err != nil {
		return edge.WithHint(err, "make the image first: make image ARCH="+p.name)
	}
	// Larger than the image, as disks are: the data has to take the rest.
	return os.Truncate(disk, proofSize)
}

// armInside puts onto the boot partition what tells, for how long it is left alone, and the
// steps.
func (p *place) armInside(ctx context.Context, o options, disk, steps string) error {
	folder := p.path("armed")
	defer os.RemoveAll(folder)
	idle := ""
	if o.proof.idle > 0 {
		idle = fmt.Sprintln(int(o.proof.idle.Minutes()))
	}
	return errors.Join(
		p.scripts(folder, "inside"),
		rootfs.Write(filepath.Join(folder, "proof/idle"), []byte(idle), 0o644),
		rootfs.Write(filepath.Join(folder, "proof/steps"), []byte(steps), 0o644),
		p.tell(ctx, disk, folder, p.proofWords()),
	)
}

// payload makes the second disk: what `make vm` puts onto its own machine beside Debian.
func (p *place) payload(ctx context.Context, to, steps string) error {
	folder := p.path("payload")
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	pattern := "^(" + strings.ReplaceAll(steps, ",", "|") + ")$"
	make := rootfs.Command(ctx, "go", "run", "-tags", "grpcnotrace,nethttpomithttp2", "./build/vm", "-payload", folder, "-steps", pattern)
	make.Dir = p.root
	if err := rootfs.Complete(make, group); err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return rootfs.Complete(rootfs.Command(ctx, "mke2fs", "-q", "-t", "ext4", "-d", folder, "-m", "0", "-O", "^has_journal", to, "2G"), group)
}

// screen is what gives a machine one.
func (p *place) screen() []string {
	if p.name != "amd64" {
		return nil // the screens of the others need a driver that gateways do not have
	}
	return []string{"-vga", "std"}
}
