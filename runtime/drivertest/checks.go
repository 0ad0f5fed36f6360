package drivertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
)

const (
	id = "check-1"
	// patience is a grace that no check should come near to: a driver that waits
	// it out instead of noticing the end is found by the time it took.
	patience = 30 * time.Second
	// short is a grace that a check waits out.
	short = 100 * time.Millisecond
	// moment is between two questions for what comes by itself.
	moment = 10 * time.Millisecond
)

// start brings an instance up and waits until its program is set up.
func (b Bench) start(ctx context.Context, w edge.Workload) (edge.Instance, error) {
	instance, err := b.Driver.Start(ctx, w, id)
	if err != nil {
		return edge.Instance{}, fmt.Errorf("start: %w", err)
	}
	if b.Ready == nil {
		return instance, nil
	}
	return instance, b.Ready(ctx, instance)
}

// find looks an instance up in a driver's list.
func find(ctx context.Context, driver runtime.Driver) (edge.Instance, bool, error) {
	list, err := driver.Instances(ctx)
	if err != nil {
		return edge.Instance{}, false, fmt.Errorf("instances: %w", err)
	}
	for _, instance := range list {
		if instance.ID == id {
			return instance, true, nil
		}
	}
	return edge.Instance{}, false, nil
}

func startTellsInstance(ctx context.Context, b Bench) error {
	w := b.Sleep()
	instance, err := b.start(ctx, w)
	if err != nil {
		return err
	}
	return describes(instance, w)
}

// describes holds what a driver says of a running instance against its workload.
func describes(got edge.Instance, w edge.Workload) error {
	switch {
	case got.ID != id:
		return fmt.Errorf("got id %q, want %q", got.ID, id)
	case got.Workload != w.Key():
		return fmt.Errorf("got workload %q, want %q", got.Workload, w.Key())
	case got.SpecHash != w.SpecHash():
		return fmt.Errorf("got spec hash %q, want %q", got.SpecHash, w.SpecHash())
	case got.Image != w.Image:
		return fmt.Errorf("got image %q, want %q", got.Image, w.Image)
	case got.Digest == "":
		return errors.New("got no digest of the image")
	case got.Started.IsZero():
		return errors.New("got no time of start")
	case !got.Running || got.PID == 0 || got.Exit != nil:
		return fmt.Errorf("got running %v, pid %d, exit %v of an instance that runs", got.Running, got.PID, got.Exit)
	}
	return nil
}

func startListsInstance(ctx context.Context, b Bench) error {
	w := b.Sleep()
	if _, err := b.start(ctx, w); err != nil {
		return err
	}
	listed, ok, err := find(ctx, b.Driver)
	if err != nil || !ok {
		return errors.Join(errors.New("a started instance is not listed"), err)
	}
	return describes(listed, w)
}

func startTwiceRefused(ctx context.Context, b Bench) error {
	w := b.Sleep()
	if _, err := b.start(ctx, w); err != nil {
		return err
	}
	if _, err := b.Driver.Start(ctx, w, id); !errors.Is(err, edge.ErrExists) {
		return fmt.Errorf("got %v from a second start under one id, want %v", err, edge.ErrExists)
	}
	listed, ok, err := find(ctx, b.Driver)
	if err != nil || !ok {
		return errors.Join(errors.New("the refused second start took the first instance with it"), err)
	}
	return describes(listed, w)
}

func startUnknownImage(ctx context.Context, b Bench) error {
	_, err := b.Driver.Start(ctx, b.Unknown(), id)
	if !errors.Is(err, edge.ErrNotFound) {
		return fmt.Errorf("got %v from a start without image, want %v", err, edge.ErrNotFound)
	}
	if edge.HintOf(err) == "" {
		return errors.New("the error for a missing image hints at no remedy")
	}
	if _, ok, err := find(ctx, b.Driver); ok || err != nil {
		return errors.Join(errors.New("a failed start left an instance"), err)
	}
	return nil
}

func startAfterRemove(ctx context.Context, b Bench) error {
	for range 2 {
		if _, err := b.start(ctx, b.Sleep()); err != nil {
			return err
		}
		if err := b.Driver.Remove(ctx, id); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
	}
	return nil
}

func waitTellsCode(ctx context.Context, b Bench) error {
	const code = 7
	if _, err := b.Driver.Start(ctx, b.Exit(code), id); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	exit, err := b.Driver.Wait(ctx, id)
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if exit.Code != code || exit.Signal != "" || exit.OOM {
		return fmt.Errorf("got %+v, want code %d and nothing else", exit, code)
	}
	if exit.At.IsZero() {
		return errors.New("got no time of exit")
	}
	return nil
}

func waitAfterEnd(ctx context.Context, b Bench) error {
	const code = 3
	if _, err := b.Driver.Start(ctx, b.Exit(code), id); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	for range 2 {
		exit, err := b.Driver.Wait(ctx, id)
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		if exit.Code != code {
			return fmt.Errorf("got code %d, want %d each time it is asked for", exit.Code, code)
		}
	}
	listed, ok, err := find(ctx, b.Driver)
	if err != nil || !ok {
		return errors.Join(errors.New("an ended instance is not listed until it is removed"), err)
	}
	if listed.Running || listed.Exit == nil || listed.Exit.Code != code {
		return fmt.Errorf("got running %v with exit %v, want ended with code %d", listed.Running, listed.Exit, code)
	}
	return nil
}

func waitEndsWithContext(ctx context.Context, b Bench) error {
	if _, err := b.start(ctx, b.Sleep()); err != nil {
		return err
	}
	brief, cancel := context.WithTimeout(ctx, short)
	defer cancel()
	if _, err := b.Driver.Wait(brief, id); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("got %v from a wait whose time was up, want %v", err, context.DeadlineExceeded)
	}
	return nil
}

func waitUnknown(ctx context.Context, b Bench) error {
	if _, err := b.Driver.Wait(ctx, id); !errors.Is(err, edge.ErrNotFound) {
		return fmt.Errorf("got %v from a wait for nothing, want %v", err, edge.ErrNotFound)
	}
	return nil
}

func waitTwoCallers(ctx context.Context, b Bench) error {
	if _, err := b.start(ctx, b.Sleep()); err != nil {
		return err
	}
	type answer struct {
		exit edge.Exit
		err  error
	}
	answers := make(chan answer, 2) // one for each caller
	for range cap(answers) {
		go func() {
			exit, err := b.Driver.Wait(ctx, id)
			answers <- answer{exit, err}
		}()
	}
	stopped := b.Driver.Stop(ctx, id, patience)
	failed := []error{stopped}
	for range cap(answers) {
		got := <-answers
		if got.err != nil || got.exit.Code != 0 {
			failed = append(failed, fmt.Errorf("got %+v and %v, want both callers to hear of code 0", got.exit, got.err))
		}
	}
	return errors.Join(failed...)
}

func stopAsksFirst(ctx context.Context, b Bench) error {
	if _, err := b.start(ctx, b.Sleep()); err != nil {
		return err
	}
	begun := time.Now()
	if err := b.Driver.Stop(ctx, id, patience); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if took := time.Since(begun); took >= patience {
		return fmt.Errorf("stop waited out its grace of %v for an instance that ends when asked", took)
	}
	exit, err := b.Driver.Wait(ctx, id)
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if exit.Code != 0 || exit.Signal != "" {
		return fmt.Errorf("got %+v, want the code 0 of an instance that was asked", exit)
	}
	return nil
}

func stopKillsAfterGrace(ctx context.Context, b Bench) error {
	if _, err := b.start(ctx, b.IgnoreTerm()); err != nil {
		return err
	}
	begun := time.Now()
	if err := b.Driver.Stop(ctx, id, short); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if took := time.Since(begun); took < short {
		return fmt.Errorf("stop took %v, less than its grace of %v", took, short)
	}
	exit, err := b.Driver.Wait(ctx, id)
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if exit.Signal != "SIGKILL" || exit.OOM {
		return fmt.Errorf("got %+v, want to hear of SIGKILL, and not of memory", exit)
	}
	return nil
}

func stopAgain(ctx context.Context, b Bench) error {
	if _, err := b.start(ctx, b.Sleep()); err != nil {
		return err
	}
	for range 2 {
		if err := b.Driver.Stop(ctx, id, patience); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
	}
	if err := b.Driver.Stop(ctx, "check-none", patience); err != nil {
		return fmt.Errorf("got %w from stopping nothing, want success", err)
	}
	return nil
}

func removeKills(ctx context.Context, b Bench) error {
	if _, err := b.start(ctx, b.IgnoreTerm()); err != nil {
		return err
	}
	if err := b.Driver.Remove(ctx, id); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	if _, ok, err := find(ctx, b.Driver); ok || err != nil {
		return errors.Join(errors.New("a removed instance is still listed"), err)
	}
	return nil
}

func removeAgain(ctx context.Context, b Bench) error {
	if _, err := b.start(ctx, b.Sleep()); err != nil {
		return err
	}
	for range 2 {
		if err := b.Driver.Remove(ctx, id); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
	}
	if err := b.Driver.Remove(ctx, "check-none"); err != nil {
		return fmt.Errorf("got %w from removing nothing, want success", err)
	}
	return nil
}

func adoptRunning(ctx context.Context, b Bench) error {
	w := b.Sleep()
	before, err := b.start(ctx, w)
	if err != nil {
		return err
	}
	again := b.Again()
	after, ok, err := find(ctx, again)
	if err != nil || !ok {
		return errors.Join(errors.New("a new driver does not see the instance"), err)
	}
	if err := describes(after, w); err != nil {
		return fmt.Errorf("adopted: %w", err)
	}
	if after.PID != before.PID || after.Socket != before.Socket || after.LogPath != before.LogPath ||
		after.Digest != before.Digest || !after.Started.Equal(before.Started) {
		return fmt.Errorf("got %+v, want the instance as it was started: %+v", after, before)
	}
	if err := again.Stop(ctx, id, patience); err != nil {
		return fmt.Errorf("stop an adopted instance: %w", err)
	}
	exit, err := again.Wait(ctx, id)
	if err != nil || exit.Code != 0 {
		return fmt.Errorf("got %+v and %v, want code 0 of an adopted instance", exit, err)
	}
	return again.Remove(ctx, id)
}

func adoptEnded(ctx context.Context, b Bench) error {
	const code = 9
	if _, err := b.Driver.Start(ctx, b.Exit(code), id); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if _, err := b.Driver.Wait(ctx, id); err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	exit, err := b.Again().Wait(ctx, id)
	if err != nil || exit.Code != code {
		return fmt.Errorf("got %+v and %v, want a new driver to tell code %d", exit, err, code)
	}
	return nil
}

func usageOfRunning(ctx context.Context, b Bench) error {
	w := b.Sleep()
	w.Limits.Memory = 64 << 20
	if _, err := b.start(ctx, w); err != nil {
		return err
	}
	usage, err := b.Driver.Usage(ctx, id)
	if err != nil {
		return fmt.Errorf("usage: %w", err)
	}
	if usage.Pids == 0 || usage.Memory == 0 || usage.MemoryLimit != uint64(w.Limits.Memory) {
		return fmt.Errorf("got %+v, want a process, some memory and its limit of %d bytes", usage, w.Limits.Memory)
	}
	return nil
}

func usageUnknown(ctx context.Context, b Bench) error {
	if _, err := b.Driver.Usage(ctx, id); !errors.Is(err, edge.ErrNotFound) {
		return fmt.Errorf("got %v from measuring nothing, want %v", err, edge.ErrNotFound)
	}
	return nil
}

func memoryLimitSeen(ctx context.Context, b Bench) error {
	if b.EatMemory == nil {
		return nil // this driver does not meter memory
	}
	if _, err := b.Driver.Start(ctx, b.EatMemory(), id); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	exit, err := b.Driver.Wait(ctx, id)
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if !exit.OOM || exit.Signal != "SIGKILL" {
		return fmt.Errorf("got %+v, want an end at the memory limit", exit)
	}
	exit, err = b.Again().Wait(ctx, id)
	if err != nil || !exit.OOM {
		return fmt.Errorf("got %+v and %v, want a new driver to know of the memory limit too", exit, err)
	}
	return nil
}
