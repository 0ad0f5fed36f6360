package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"holdfast/build/rootfs"
	"holdfast/build/vm/order"
	"holdfast/edge"
)

// machine is one to be started.
type machine struct {
	emulator string // QEMU
	kernel   string
	disk     string
	console  string // file that gets what its first serial port says
	scratch  string // folder for what it writes to its disk
	accel    string // what runs its processors: tcg everywhere, kvm where there is one
	first    bool   // with cgroups of the first version
	wrong    error  // why it cannot be
}

// machine describes the one whose disk was made.
func (p *place) machine(o options) machine {
	kernel, err := p.kernel()
	return machine{
		emulator: "qemu-system-x86_64", kernel: kernel, wrong: err, accel: o.accel, first: o.control,
		disk: p.disk(), console: p.path("console.log"), scratch: p.work,
	}
}

// processor is a plain one: the AVX of others is new to the emulator of Debian 12 and was seen
// to spoil what programs read. The kernel has its first random numbers from it.
const processor = "Nehalem,+rdrand"

// words are the arguments: two cores, 2 GiB, a disk whose changes are dropped, two serial
// ports, no network. The disk is of a kind whose driver this kernel has built in.
func (m machine) words() []string {
	// The processors' own counter is good although the kernel cannot find that out here. Without
	// it each look at the clock is one at an emulated device, one after another, and a machine
	// that gets little of this one's time comes to do nothing else.
	line := "root=/dev/nvme0n1 rw console=ttyS0 panic=-1 systemd.show_status=0 tsc=reliable"
	if m.first {
		line += " systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1"
	}
	return []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none",
		"-machine", "q35,hpet=off,accel=" + m.accel, "-cpu", processor, "-smp", "2", "-m", "2G",
		"-kernel", m.kernel, "-append", line,
		"-drive", "if=none,id=root,format=raw,snapshot=on,file=" + m.disk, "-device", "nvme,drive=root,serial=root",
		"-chardev", "file,id=console,path=" + m.console, "-serial", "chardev:console",
		"-device", "virtio-serial-pci", "-chardev", "stdio,id=told,signal=off",
		"-device", "virtserialport,chardev=told,name=" + order.Port,
		"-device", "virtio-rng-pci",
	}
}

// run starts the machine and returns when it has ended. An error says that it was not by
// itself, after all its steps.
func (m machine) run(ctx context.Context, told *ledger) error {
	if m.wrong != nil {
		return m.wrong
	}
	cmd := rootfs.Command(ctx, m.emulator, m.words()...)
	cmd.Env = append(os.Environ(), "TMPDIR="+m.scratch) // of what it drops
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
	told.begin(time.Now())
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			err = edge.WithHint(err, "run build/provision/provision.sh --only vm")
		}
		return fmt.Errorf("cannot start machine: %w", err)
	}
	failed := order.Read(out, told.add)
	if failed != nil && !errors.Is(failed, order.ErrCutOff) {
		_ = cmd.Process.Kill() // it says what nobody understands; perhaps it has ended
	}
	_, _ = io.Copy(io.Discard, out) // its end is all there is to hear
	ended := cmd.Wait()
	if failed == nil && ended == nil {
		return nil
	}
	return errors.Join(failed, ctx.Err(), ended, rootfs.Said("QEMU", complaint.String()), rootfs.Said("its console, at the end", rootfs.End(m.console)))
}
