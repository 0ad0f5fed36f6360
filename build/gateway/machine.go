package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"holdfast/build/rootfs"
	"holdfast/edge"
)

// machine is an emulated one with a disk, and no network unless something is added.
type machine struct {
	arch
	emulator string
	disk     string
	firmware [2]string // code, and what it writes down
	console  string    // file that gets what its first serial port says
	accel    string
	added    []string // QEMU's arguments beside the usual ones
}

// machine describes the one that a disk is put into.
func (p *place) machine(o options, disk string) machine {
	m := machine{arch: p.arch, disk: disk, console: p.path("console.log"), accel: o.proof.accel}
	m.emulator = map[string]string{"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64", "armv7": "qemu-system-arm"}[p.name]
	m.firmware[0] = map[string]string{
		"amd64": "/usr/share/OVMF/OVMF_CODE_4M.fd", "arm64": "/usr/share/AAVMF/AAVMF_CODE.fd", "armv7": "/usr/share/AAVMF/AAVMF32_CODE.fd",
	}[p.name]
	m.firmware[1] = p.path("firmware.fd")
	return m
}

// port is the name of the serial port by which the proof is told.
const port = "holdfast"

// proofWords are what the kernel of a machine is told beside what it always is: the command
// of the proof, in a start that is otherwise as usual.
func (a arch) proofWords() string {
	words := `systemd.unit=multi-user.target systemd.wants=kernel-command-line.service "systemd.run=/bin/sh /boot/holdfast/proof/proof.sh" ` +
		`systemd.run_success_action=none systemd.run_failure_action=none`
	if a.name == "amd64" {
		// The processors' own counter is good although the kernel cannot find that out here; and
		// that ticks come late while this machine is busy does not mean that none will.
		words += " tsc=reliable no_timer_check"
	}
	return words
}

// words are QEMU's arguments: two cores, 1 GiB, the disk, which is written to, two serial
// ports, no network; and what was added.
func (m machine) arguments() []string {
	kind := map[string][]string{
		// A plain processor: the AVX of others is new to the emulator of Debian 12 and was seen to
		// spoil what programs read.
		"amd64": {"-machine", "q35,hpet=off,accel=" + m.accel, "-cpu", "Nehalem,+rdrand"},
		"arm64": {"-machine", "virt,accel=" + m.accel, "-cpu", "cortex-a57"},
		"armv7": {"-machine", "virt,highmem=off,accel=" + m.accel, "-cpu", "cortex-a15"},
	}[m.name]
	kind = append(kind,
		"-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-smp", "2", "-m", "1G",
		"-drive", "if=pflash,format=raw,readonly=on,file="+m.firmware[0], "-drive", "if=pflash,format=raw,file="+m.firmware[1],
		"-drive", "if=none,id=disk,format=raw,file="+m.disk, "-device", m.controller()+",drive=disk,serial=disk",
		"-chardev", "file,id=console,path="+m.console+",append=on", "-serial", "chardev:console",
		"-device", "virtio-serial-pci", "-chardev", "stdio,id=told,signal=off", "-device", "virtserialport,chardev=told,name="+port,
		"-device", "virtio-rng-pci",
	)
	return append(kind, m.added...)
}

// controller is what the disk hangs on.
func (m machine) controller() string {
	if m.name == "amd64" {
		return "nvme"
	}
	return "virtio-blk-pci"
}

// on switches the machine on and hands what it tells to a judge until that has enough; then
// its power is cut. What the judge finds wrong, an end of its own and the end of the context
// are errors.
func (m machine) on(ctx context.Context, judge func(told) (enough bool, err error)) error {
	cmd := rootfs.Command(ctx, m.emulator, m.arguments()...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("cannot start machine: %w", err)
	}
	in, err := cmd.StdinPipe() // nothing is said to it, but while this is closed the port is too
	if err != nil {
		return fmt.Errorf("cannot start machine: %w", err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			err = edge.WithHint(err, "run build/provision/provision.sh --only "+group)
		}
		return fmt.Errorf("cannot start machine: %w", err)
	}
	failed := listen(out, time.Now(), judge)
	_ = cmd.Process.Kill()          // this is the cut; it may have ended
	_, _ = io.Copy(io.Discard, out) // what it had still to say is lost with it
	_ = cmd.Wait()                  // it was killed, and says so
	if failed == nil {
		return nil
	}
	return errors.Join(failed, ctx.Err(), rootfs.Said("QEMU", complaint.String()), rootfs.Said("its console, at the end", rootfs.End(m.console)))
}
