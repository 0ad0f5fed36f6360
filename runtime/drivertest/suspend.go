package drivertest

import (
	"context"
	"errors"
	"fmt"

	"holdfast/edge"
	"holdfast/runtime"
)

// suspended is the bench's driver as one that can halt instances, with one of them
// halted; nil where it cannot.
func (b Bench) suspended(ctx context.Context, w edge.Workload) (runtime.Suspender, edge.Instance, error) {
	suspender, can := b.Driver.(runtime.Suspender)
	if !can || b.Halted == nil {
		return nil, edge.Instance{}, nil
	}
	instance, err := b.start(ctx, w)
	if err != nil {
		return nil, instance, err
	}
	if err := suspender.Suspend(ctx, id); err != nil {
		return nil, instance, fmt.Errorf("suspend: %w", err)
	}
	return suspender, instance, b.wantHalted(true)
}

func (b Bench) wantHalted(want bool) error {
	got, err := b.Halted(id)
	if err != nil {
		return fmt.Errorf("cannot see whether it is halted: %w", err)
	}
	if got != want {
		return fmt.Errorf("got halted %v, want %v", got, want)
	}
	return nil
}

func suspendHalts(ctx context.Context, b Bench) error {
	s, _, err := b.suspended(ctx, b.Sleep())
	if s == nil || err != nil {
		return err
	}
	if err := s.Suspend(ctx, id); err != nil {
		return fmt.Errorf("suspend what is suspended: %w", err)
	}
	listed, ok, err := find(ctx, b.Driver)
	if err != nil || !ok || !listed.Running {
		return errors.Join(fmt.Errorf("got %+v listed of a suspended instance, want it running", listed), err)
	}
	if err := b.wantHalted(true); err != nil {
		return fmt.Errorf("after it was listed: %w", err)
	}
	for range 2 {
		if err := s.Resume(ctx, id); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		if err := b.wantHalted(false); err != nil {
			return err
		}
	}
	return nil
}

func suspendUnknown(ctx context.Context, b Bench) error {
	s, can := b.Driver.(runtime.Suspender)
	if !can {
		return nil
	}
	if err := s.Suspend(ctx, id); !errors.Is(err, edge.ErrNotFound) {
		return fmt.Errorf("got %v from suspending nothing, want %v", err, edge.ErrNotFound)
	}
	if err := s.Resume(ctx, id); err != nil {
		return fmt.Errorf("resume nothing: %w", err)
	}
	return nil
}

func stopOfSuspended(ctx context.Context, b Bench) error {
	s, _, err := b.suspended(ctx, b.Sleep())
	if s == nil || err != nil {
		return err
	}
	if err := b.Driver.Stop(ctx, id, patience); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	exit, err := b.Driver.Wait(ctx, id)
	if err != nil || exit.Code != 0 {
		return fmt.Errorf("got %+v and %v, want code 0 of a suspended instance that was asked to end", exit, err)
	}
	return nil
}

func killOfSuspended(ctx context.Context, b Bench) error {
	s, _, err := b.suspended(ctx, b.IgnoreTerm())
	if s == nil || err != nil {
		return err
	}
	if err := b.Driver.Stop(ctx, id, 0); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	exit, err := b.Driver.Wait(ctx, id)
	if err != nil || exit.Signal != "SIGKILL" {
		return fmt.Errorf("got %+v and %v, want a suspended instance killed", exit, err)
	}
	return nil
}

func removeOfSuspended(ctx context.Context, b Bench) error {
	s, _, err := b.suspended(ctx, b.Sleep())
	if s == nil || err != nil {
		return err
	}
	if err := b.Driver.Remove(ctx, id); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	if _, ok, err := find(ctx, b.Driver); ok || err != nil {
		return errors.Join(errors.New("a suspended instance outlives its removal"), err)
	}
	if err := s.Suspend(ctx, id); !errors.Is(err, edge.ErrNotFound) {
		return fmt.Errorf("got %v from suspending what was removed, want %v", err, edge.ErrNotFound)
	}
	return nil
}

func adoptSuspended(ctx context.Context, b Bench) error {
	s, before, err := b.suspended(ctx, b.Sleep())
	if s == nil || err != nil {
		return err
	}
	after, ok, err := find(ctx, b.Again())
	if err != nil || !ok || !after.Running || after.PID != before.PID {
		return errors.Join(fmt.Errorf("got %+v from a new driver, want the suspended instance", after), err)
	}
	if err := b.wantHalted(false); err != nil {
		return fmt.Errorf("after a new driver has listed it: %w", err)
	}
	return nil
}
