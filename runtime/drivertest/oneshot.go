package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/runtime/oneshot"
)

// Tools are one-shot workloads that behave in known ways.
type Tools struct {
	Echo func() edge.Workload         // gives back its input
	Fail func(code int) edge.Workload // ends with a code
	Hang func() edge.Workload         // runs until it is killed
}

// mostOutput is what the tools of the checks may write.
const mostOutput = 1 << 10

// tools returns the driver as one that makes containers for tasks; false: it makes none.
func (b Bench) tools() (oneshot.Driver, bool) {
	driver, can := b.Driver.(oneshot.Driver)
	return driver, can && b.Tools != nil
}

// runTool makes a container ready and runs it.
func runTool(ctx context.Context, driver oneshot.Driver, w edge.Workload, order oneshot.Order) (oneshot.Result, error) {
	container, err := driver.Ready(ctx, w, id)
	if err != nil {
		return oneshot.Result{}, fmt.Errorf("ready: %w", err)
	}
	result, err := container.Run(ctx, order)
	if err != nil {
		err = fmt.Errorf("run: %w", err)
	}
	return result, errors.Join(err, container.Close(), driver.Remove(context.WithoutCancel(ctx), id))
}

// readyIsNoInstance: what stands ready is nobody's to adopt, and is found all the same.
func readyIsNoInstance(ctx context.Context, b Bench) error {
	driver, can := b.tools()
	if !can {
		return nil
	}
	container, err := driver.Ready(ctx, b.Tools.Echo(), id)
	if err != nil {
		return fmt.Errorf("ready: %w", err)
	}
	defer func() { _ = container.Close() }() // what it holds is let go of; the container is the next driver's
	if _, listed, err := find(ctx, b.Driver); listed || err != nil {
		return errors.Join(errors.New("what stands ready is listed as an instance"), err)
	}
	next, _ := b.Again().(oneshot.Driver)
	for _, d := range []oneshot.Driver{driver, next} {
		if ids, err := d.Remnants(ctx); err != nil || !slices.Equal(ids, []string{id}) {
			return fmt.Errorf("got %v, %w of what stands ready, want %s", ids, err, id)
		}
	}
	if err := next.Remove(ctx, id); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	if ids, err := driver.Remnants(ctx); err != nil || len(ids) > 0 {
		return fmt.Errorf("got %v, %w of what was removed", ids, err)
	}
	return nil
}

func toolAnswers(ctx context.Context, b Bench) error {
	driver, can := b.tools()
	if !can {
		return nil
	}
	got, err := runTool(ctx, driver, b.Tools.Echo(), oneshot.Order{Input: []byte("what it is given"), Most: mostOutput})
	if err != nil || string(got.Output) != "what it is given" || got.Exit.Code != 0 || !got.Begun {
		return fmt.Errorf("got %+v, %w, want what it was given", got, err)
	}
	return nil
}

func toolTellsCode(ctx context.Context, b Bench) error {
	driver, can := b.tools()
	if !can {
		return nil
	}
	if got, err := runTool(ctx, driver, b.Tools.Fail(7), oneshot.Order{Most: mostOutput}); err != nil || got.Exit.Code != 7 {
		return fmt.Errorf("got %+v, %w, want code 7", got, err)
	}
	return nil
}

// toolIsKilled: when its time is up it is dead before anybody is told.
func toolIsKilled(ctx context.Context, b Bench) error {
	driver, can := b.tools()
	if !can {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, 2*time.Second) // it has to be made in that time too
	defer cancel()
	if got, err := runTool(short, driver, b.Tools.Hang(), oneshot.Order{Most: mostOutput}); err != nil || got.Exit.Signal != "SIGKILL" {
		return fmt.Errorf("got %+v, %w, want that it was killed when its time was up", got, err)
	}
	return nil
}

func toolIsBounded(ctx context.Context, b Bench) error {
	driver, can := b.tools()
	if !can {
		return nil
	}
	got, err := runTool(ctx, driver, b.Tools.Echo(), oneshot.Order{Input: make([]byte, mostOutput+1), Most: mostOutput})
	if err != nil || !got.Excess {
		return fmt.Errorf("got %d bytes, %w, want that they are too many", len(got.Output), err)
	}
	return nil
}

// toolOfServer: what is no tool is not made ready, and leaves nothing.
func toolOfServer(ctx context.Context, b Bench) error {
	driver, can := b.tools()
	if !can {
		return nil
	}
	if _, err := driver.Ready(ctx, b.Sleep(), id); !errors.Is(err, edge.ErrInvalid) {
		return fmt.Errorf("got %v of a workload that is not one-shot, want %v", err, edge.ErrInvalid)
	}
	if ids, err := driver.Remnants(ctx); err != nil || len(ids) > 0 {
		return fmt.Errorf("got %v, %w left behind", ids, err)
	}
	return nil
}
