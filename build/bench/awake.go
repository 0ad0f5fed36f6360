package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// keepAwake has every core spin whenever it has nothing to do, in the class of the scheduler
// that gives way to all others at once. A core that sleeps must be woken first, which takes a
// virtual machine's host some 20 to 40 µs and is a matter of the machine, not of who waits
// there. rest ends it.
func keepAwake(ctx context.Context) (rest func() error, err error) {
	var cores unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cores); err != nil {
		return nil, fmt.Errorf("cannot tell which cores there are: %w", err)
	}
	var spinning []*exec.Cmd
	rest = func() error {
		var errs []error
		for _, cmd := range spinning {
			errs = append(errs, cmd.Process.Kill())
			_ = cmd.Wait() // says only that it was killed
		}
		return errors.Join(errs...)
	}
	for core := range len(cores) * 64 {
		if !cores.IsSet(core) {
			continue
		}
		cmd := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(core), "chrt", "--idle", "0", "sh", "-c", "while :; do :; done")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot keep core %d awake: %w", core, err), rest())
		}
		spinning = append(spinning, cmd)
	}
	return rest, nil
}
