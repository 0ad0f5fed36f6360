// Command vm runs tests inside a machine of their own: Debian's kernel, its systemd and
// cgroups of the second version, with containerd and holdfast as services. It is for what a
// development machine cannot show, whose cgroups may be of the first version and whose first
// process may not be systemd.
//
//	go run ./build/vm [-steps REGEXP] [-run REGEXP] [-control] [-v]
//
// The machine is emulated by QEMU, without KVM unless it is told; it has no network but its
// own loopback. Its disk is made without mounting anything: Debian's packages are unpacked
// once, below .tools/vm, and each run adds what was built to a copy and writes that into a
// file system. What the machine does goes to a copy on write that is dropped.
//
// With -control it is started with cgroups of the first version: that must be found.
//
// # Failure
//
// The exit code is 1 if any step failed, or the machine ended before all were over; 130 if
// it was interrupted, in which case the machine is ended too. The machine's console is kept
// in dist/vm/console.log.
//
// # Testing
//
// The tests read what machines have written, stand in for QEMU with programs that end, hang
// and lie, and take files out of a disk that was made.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"holdfast/edge"
)

// options are the arguments.
type options struct {
	root    string // of the checkout
	steps   string
	run     string
	accel   string
	control bool
	verbose bool
	within  time.Duration
	payload string
}

func main() {
	var o options
	flag.StringVar(&o.root, "root", ".", "the checkout")
	flag.StringVar(&o.steps, "steps", ".", "only the steps whose names match")
	flag.StringVar(&o.run, "run", "", "only the tests whose names match, in each step")
	flag.StringVar(&o.accel, "accel", "tcg", "what runs the machine's processors, as QEMU calls it: tcg, or kvm, which is faster where it works")
	flag.StringVar(&o.payload, "payload", "", "only put into this folder what the machine has beside Debian, for another machine")
	flag.BoolVar(&o.control, "control", false, "start with cgroups of the first version and want that to be found")
	flag.BoolVar(&o.verbose, "v", false, "print everything that tests print, not only what concerns failures")
	flag.DurationVar(&o.within, "within", time.Hour, "end the machine after so long")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "vm: interrupted; the machine has been ended")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "vm:", err)
		if hint := edge.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
}

// run makes the machine's disk, starts it, and judges what it tells.
func run(ctx context.Context, o options) error {
	place, err := open(o.root)
	if err != nil {
		return err
	}
	defer func() { _ = place.Close() }() // only a lock, which this process ends with
	steps, err := chosen(o)
	if err != nil {
		return err
	}
	if o.payload != "" {
		return place.load(ctx, o.payload, steps)
	}
	if err := place.furnish(ctx, steps); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.within)
	defer cancel()
	told := newLedger(os.Stdout, o.verbose)
	failed := place.machine(o).run(ctx, told)
	told.sum()
	if o.control {
		return errors.Join(failed, told.wantFound())
	}
	return errors.Join(failed, told.failed(steps))
}
