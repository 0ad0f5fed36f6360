package drivertest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
)

// ear is one call of a driver's Events in the background.
type ear struct {
	heard  chan edge.InstanceEvent
	ended  chan error
	cancel context.CancelFunc
}

// maxHeard is more events than any check makes.
const maxHeard = 64

// listen begins to hear a driver's events and returns when it has attached. Nil for
// a driver that tells none.
func listen(ctx context.Context, driver runtime.Driver) (*ear, error) {
	source, ok := driver.(runtime.EventSource)
	if !ok {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &ear{heard: make(chan edge.InstanceEvent, maxHeard), ended: make(chan error, 1), cancel: cancel}
	go func() { e.ended <- source.Events(ctx, func(event edge.InstanceEvent) { e.heard <- event }) }()
	first, err := e.next(ctx)
	if err == nil && first.Kind != edge.InstanceEventGap {
		err = fmt.Errorf("got %+v as the first event, want a gap", first)
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *ear) next(ctx context.Context) (edge.InstanceEvent, error) {
	select {
	case event := <-e.heard:
		return event, nil
	case err := <-e.ended:
		e.ended <- err
		return edge.InstanceEvent{}, fmt.Errorf("events ended with %v while they were listened to", err)
	case <-ctx.Done():
		return edge.InstanceEvent{}, fmt.Errorf("no event came: %w", ctx.Err())
	}
}

// close ends listening, which a driver must take note of soon and without complaint.
func (e *ear) close() error {
	e.cancel()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-e.ended:
		if err != nil {
			return fmt.Errorf("got %w from events whose context ended", err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("events go on %v after their context ended", patience)
	}
}

// expect holds the next events of the check's instance against what must come.
func (e *ear) expect(ctx context.Context, w edge.Workload, kinds ...edge.InstanceEventKind) (*edge.Exit, error) {
	var exit *edge.Exit
	for _, kind := range kinds {
		got, err := e.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("while %s was waited for: %w", kind, err)
		}
		of, key := id, w.Key()
		if kind == edge.InstanceEventGap {
			of, key = "", ""
		}
		switch {
		case got.Kind != kind, got.Instance != of, got.Workload != key:
			return nil, fmt.Errorf("got %+v, want %s of %q of workload %q", got, kind, of, key)
		case got.At.IsZero():
			return nil, fmt.Errorf("got no time of %s", kind)
		case got.Exit != nil && kind != edge.InstanceExited:
			return nil, fmt.Errorf("got exit %+v with %s", got.Exit, kind)
		case kind == edge.InstanceExited:
			exit = got.Exit
		}
	}
	return exit, nil
}

// during runs a check while events are heard, and ends hearing with it.
func during(ctx context.Context, b Bench, check func(*ear) error) error {
	e, err := listen(ctx, b.Driver)
	if err != nil || e == nil {
		return err
	}
	return errors.Join(check(e), e.close())
}

func eventsInOrder(ctx context.Context, b Bench) error {
	const code = 7
	return during(ctx, b, func(e *ear) error {
		w := b.Exit(code)
		for range 2 { // the same id again is another life
			if err := b.live(ctx, w); err != nil {
				return err
			}
			exit, err := e.expect(ctx, w, edge.InstanceStarted, edge.InstanceExited, edge.InstanceRemoved)
			if err != nil {
				return err
			}
			if exit == nil || exit.Code != code || exit.Signal != "" || exit.OOM || exit.At.IsZero() {
				return fmt.Errorf("got exit %+v, want code %d, its time and nothing else", exit, code)
			}
		}
		return nil
	})
}

// live starts an instance, waits for its end and removes it.
func (b Bench) live(ctx context.Context, w edge.Workload) error {
	if _, err := b.Driver.Start(ctx, w, id); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if _, err := b.Driver.Wait(ctx, id); err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if err := b.Driver.Remove(ctx, id); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return nil
}

func eventsOfStop(ctx context.Context, b Bench) error {
	return during(ctx, b, func(e *ear) error {
		w := b.IgnoreTerm()
		if _, err := b.start(ctx, w); err != nil {
			return err
		}
		// As an agent that was started anew has it: the driver that listens is not
		// the one that acts.
		if err := b.Again().Remove(ctx, id); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		exit, err := e.expect(ctx, w, edge.InstanceStarted, edge.InstanceExited, edge.InstanceRemoved)
		if err == nil && (exit == nil || exit.Signal != "SIGKILL" || exit.OOM) {
			err = fmt.Errorf("got exit %+v, want to hear of SIGKILL, and not of memory", exit)
		}
		return err
	})
}

func eventsTellMemory(ctx context.Context, b Bench) error {
	if b.EatMemory == nil {
		return nil // this driver does not meter memory
	}
	return during(ctx, b, func(e *ear) error {
		w := b.EatMemory()
		if _, err := b.Driver.Start(ctx, w, id); err != nil {
			return fmt.Errorf("start: %w", err)
		}
		exit, err := e.expect(ctx, w, edge.InstanceStarted, edge.InstanceOutOfMemory, edge.InstanceExited)
		if err == nil && (exit == nil || !exit.OOM || exit.Signal != "SIGKILL") {
			err = fmt.Errorf("got exit %+v, want an end at the memory limit", exit)
		}
		return err
	})
}

func eventsOfOwnNamespace(ctx context.Context, b Bench) error {
	return during(ctx, b, func(e *ear) error {
		other := b
		other.Driver = b.Elsewhere()
		if err := other.live(ctx, b.Exit(1)); err != nil {
			return fmt.Errorf("in another namespace: %w", err)
		}
		w := b.Exit(2)
		if err := b.live(ctx, w); err != nil {
			return err
		}
		exit, err := e.expect(ctx, w, edge.InstanceStarted, edge.InstanceExited, edge.InstanceRemoved)
		if err == nil && (exit == nil || exit.Code != 2) {
			err = fmt.Errorf("got exit %+v, want code 2 of the instance in this namespace", exit)
		}
		return err
	})
}

func eventsAfterDaemon(ctx context.Context, b Bench) error {
	return during(ctx, b, func(e *ear) error {
		w := b.Sleep()
		if _, err := b.start(ctx, w); err != nil {
			return err
		}
		if err := b.Bounce(ctx); err != nil {
			return fmt.Errorf("bounce: %w", err)
		}
		if _, err := e.expect(ctx, w, edge.InstanceStarted, edge.InstanceEventGap); err != nil {
			return err
		}
		if err := b.Driver.Stop(ctx, id, patience); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
		if err := b.Driver.Remove(ctx, id); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		exit, err := e.expect(ctx, w, edge.InstanceExited, edge.InstanceRemoved)
		if err == nil && (exit == nil || exit.Code != 0 || exit.Signal != "") {
			err = fmt.Errorf("got exit %+v, want the code 0 of an instance that was asked", exit)
		}
		return err
	})
}

func eventsEndWithContext(ctx context.Context, b Bench) error {
	err := during(ctx, b, func(*ear) error { return nil })
	if err != nil {
		return err
	}
	return during(ctx, b, func(e *ear) error { // and may be listened to again
		w := b.Exit(0)
		if err := b.live(ctx, w); err != nil {
			return err
		}
		_, err := e.expect(ctx, w, edge.InstanceStarted)
		return err
	})
}
