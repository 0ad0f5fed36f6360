package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
)

// Commands can be run inside an instance of Sleep.
type Commands struct {
	Exit  func(code int) []string // ends at once with a code
	Says  []string                // ends with code 0 after some words on its output
	Hangs []string                // runs until it is killed
}

// executing is the bench's driver as one that runs commands, with an instance to run
// them in; nil where it does not.
func (b Bench) executing(ctx context.Context) (runtime.Execer, error) {
	execer, can := b.Driver.(runtime.Execer)
	if !can || b.Commands == nil {
		return nil, nil
	}
	_, err := b.start(ctx, b.Sleep())
	return execer, err
}

func execTellsCode(ctx context.Context, b Bench) error {
	e, err := b.executing(ctx)
	if e == nil || err != nil {
		return err
	}
	for _, code := range []int{7, 0} {
		exit, err := e.Exec(ctx, id, b.Commands.Exit(code), nil, nil, nil)
		if err != nil || exit.Code != uint32(code) {
			return fmt.Errorf("got %+v and %v of a command, want code %d", exit, err, code)
		}
	}
	return b.stillRuns(ctx)
}

// stillRuns wants the instance as if nothing had been run in it.
func (b Bench) stillRuns(ctx context.Context) error {
	listed, ok, err := find(ctx, b.Driver)
	if err != nil || !ok || !listed.Running {
		return errors.Join(fmt.Errorf("got %+v, want the instance to run on after a command", listed), err)
	}
	return nil
}

func execTellsOutput(ctx context.Context, b Bench) error {
	e, err := b.executing(ctx)
	if e == nil || err != nil {
		return err
	}
	var said bytes.Buffer
	exit, err := e.Exec(ctx, id, b.Commands.Says, nil, &said, io.Discard)
	if err != nil || exit.Code != 0 {
		return fmt.Errorf("got %+v and %v of a command, want code 0", exit, err)
	}
	if said.Len() == 0 {
		return errors.New("got nothing of what the command said")
	}
	return nil
}

func execEndsWithContext(ctx context.Context, b Bench) error {
	e, err := b.executing(ctx)
	if e == nil || err != nil {
		return err
	}
	brief, cancel := context.WithTimeout(ctx, short)
	defer cancel()
	begun := time.Now()
	_, err = e.Exec(brief, id, b.Commands.Hangs, nil, nil, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("got %v from a command whose time was up, want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(begun); took >= patience {
		return fmt.Errorf("a command whose time was up after %v was given up after %v", short, took)
	}
	return b.stillRuns(ctx)
}

// execOfDying runs a command in an instance that is killed meanwhile: whether it came to
// run or not, its caller hears so, and not that it went well.
func execOfDying(ctx context.Context, b Bench) error {
	e, err := b.executing(ctx)
	if e == nil || err != nil {
		return err
	}
	type answer struct {
		exit edge.Exit
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		exit, err := e.Exec(ctx, id, b.Commands.Hangs, nil, nil, nil)
		answered <- answer{exit, err}
	}()
	select {
	case early := <-answered:
		return fmt.Errorf("got %+v and %v of a command that hangs, want it to go on", early.exit, early.err)
	case <-time.After(short): // so that it runs, mostly
	}
	if err := b.Driver.Stop(ctx, id, 0); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	got := <-answered
	if ctx.Err() != nil {
		return errors.New("the caller of a command never heard that its instance ended")
	}
	if got.err == nil && got.exit.Code == 0 {
		return errors.New("got code 0 of a command whose instance was killed")
	}
	return nil
}

func execOfEnded(ctx context.Context, b Bench) error {
	e, err := b.executing(ctx)
	if e == nil || err != nil {
		return err
	}
	if err := b.Driver.Stop(ctx, id, patience); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	if exit, err := e.Exec(ctx, id, b.Commands.Exit(0), nil, nil, nil); err == nil {
		return fmt.Errorf("got %+v of a command in an instance that has ended, want an error", exit)
	}
	return nil
}

func execUnknown(ctx context.Context, b Bench) error {
	e, can := b.Driver.(runtime.Execer)
	if !can || b.Commands == nil {
		return nil
	}
	if _, err := e.Exec(ctx, id, b.Commands.Exit(0), nil, nil, nil); !errors.Is(err, edge.ErrNotFound) {
		return fmt.Errorf("got %v from a command in nothing, want %v", err, edge.ErrNotFound)
	}
	return nil
}

// execOfSuspended: work on an instance lets it go on, or the command would halt with it.
func execOfSuspended(ctx context.Context, b Bench) error {
	s, _, err := b.suspended(ctx, b.Sleep())
	e, can := b.Driver.(runtime.Execer)
	if s == nil || err != nil || !can || b.Commands == nil {
		return err
	}
	brief, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	exit, err := e.Exec(brief, id, b.Commands.Exit(3), nil, nil, nil)
	if err != nil || exit.Code != 3 {
		return fmt.Errorf("got %+v and %v of a command in a suspended instance, want code 3", exit, err)
	}
	if err := b.wantHalted(false); err != nil {
		return fmt.Errorf("after a command: %w", err)
	}
	return nil
}
