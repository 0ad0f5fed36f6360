package drivertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
)

// startCancelled: who has given up already gets no instance that nobody knows of.
func startCancelled(ctx context.Context, b Bench) error {
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.Driver.Start(over, b.Sleep(), id); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("got %v from a start that was cancelled, want %v", err, context.Canceled)
	}
	if _, ok, err := find(ctx, b.Driver); ok || err != nil {
		return errors.Join(errors.New("a cancelled start left an instance"), err)
	}
	return nil
}

// startSeveral starts some at a time, as a supervisor does.
func startSeveral(ctx context.Context, b Bench) error {
	const several = 3
	failed := make(chan error, several) // one for each
	var want []string
	for i := range several {
		name := fmt.Sprintf("several-%d", i)
		want = append(want, name)
		go func() {
			_, err := b.Driver.Start(ctx, b.Sleep(), name)
			failed <- err
		}()
	}
	for range several {
		if err := <-failed; err != nil {
			return fmt.Errorf("start: %w", err)
		}
	}
	list, err := b.Driver.Instances(ctx)
	if err != nil {
		return fmt.Errorf("instances: %w", err)
	}
	var got []string
	for _, instance := range list {
		if instance.Running {
			got = append(got, instance.ID)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		return fmt.Errorf("got %v listed, want %v", got, want)
	}
	return nil
}

// waitOverDaemon: the daemon's restart is no end of an instance.
func waitOverDaemon(ctx context.Context, b Bench) error {
	if b.Bounce == nil {
		return nil
	}
	before, err := b.start(ctx, b.Sleep())
	if err != nil {
		return err
	}
	ends := make(chan error, 1)
	go func() {
		exit, err := b.Driver.Wait(ctx, id)
		if err != nil || exit.Code != 0 || exit.Signal != "" {
			err = fmt.Errorf("got %+v and %v over a restart of the daemon, want code 0 of the end that followed", exit, err)
		}
		ends <- err
	}()
	if err := b.Bounce(ctx); err != nil {
		return fmt.Errorf("cannot restart the daemon: %w", err)
	}
	listed, ok, err := find(ctx, b.Driver)
	for errors.Is(err, edge.ErrUnavailable) && ctx.Err() == nil { // a driver may need a moment to find its daemon again
		<-time.After(moment)
		listed, ok, err = find(ctx, b.Driver)
	}
	if err != nil || !ok || !listed.Running || listed.PID != before.PID {
		return errors.Join(fmt.Errorf("got %+v after a restart of the daemon, want process %d to run on", listed, before.PID), err)
	}
	if err := b.Driver.Stop(ctx, id, patience); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return <-ends
}

// logsUntilRemoved: what an instance wrote can be read for as long as it is kept.
func logsUntilRemoved(ctx context.Context, b Bench) error {
	reader, can := b.Driver.(runtime.LogReader)
	if !can || b.Talk == nil {
		return nil
	}
	const lines = 5
	if _, err := b.start(ctx, b.Talk(lines)); err != nil {
		return err
	}
	if err := b.Driver.Stop(ctx, id, patience); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	all, err := tail(ctx, reader, 100)
	if err != nil {
		return fmt.Errorf("log of an ended instance: %w", err)
	}
	for i := range lines {
		if i >= len(all) || all[i] != fmt.Sprintf("line %d\n", i) {
			return fmt.Errorf("got %q, want what was written, line by line", all)
		}
	}
	last, err := tail(ctx, reader, 2)
	if err != nil || !slices.Equal(last, all[len(all)-2:]) {
		return fmt.Errorf("got %q and %v, want the last two of %q", last, err, all)
	}
	if err := b.Driver.Remove(ctx, id); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	if _, err := tail(ctx, reader, 1); !errors.Is(err, edge.ErrNotFound) {
		return fmt.Errorf("got %v from the log of what was removed, want %v", err, edge.ErrNotFound)
	}
	return nil
}

func tail(ctx context.Context, reader runtime.LogReader, lines int) ([]string, error) {
	text, err := reader.LogTail(ctx, id, lines)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	all, err := io.ReadAll(text)
	return slices.Collect(strings.Lines(string(all))), err
}

// weighsWhatRuns: a weight may be given again and again, and not to nothing.
func weighsWhatRuns(ctx context.Context, b Bench) error {
	weigher, can := b.Driver.(runtime.Weigher)
	if !can {
		return nil
	}
	if err := weigher.Weigh(ctx, id, edge.Urgent); !errors.Is(err, edge.ErrNotFound) {
		return fmt.Errorf("got %v from weighing nothing, want %v", err, edge.ErrNotFound)
	}
	if _, err := b.start(ctx, b.Sleep()); err != nil {
		return err
	}
	for _, class := range []edge.Class{edge.Urgent, edge.Urgent, edge.Batch} {
		if err := weigher.Weigh(ctx, id, class); err != nil {
			return fmt.Errorf("weigh: %w", err)
		}
	}
	return b.stillRuns(ctx)
}

// imagesKnowWhatRuns: what an instance says it was made from is an image of the store.
func imagesKnowWhatRuns(ctx context.Context, b Bench) error {
	store, can := b.Driver.(runtime.ImageStore)
	if !can {
		return nil
	}
	instance, err := b.start(ctx, b.Sleep())
	if err != nil {
		return err
	}
	images, err := store.Images(ctx)
	if err != nil {
		return fmt.Errorf("images: %w", err)
	}
	if !slices.ContainsFunc(images, func(i edge.Image) bool { return i.Digest == instance.Digest && i.Name == instance.Image }) {
		return fmt.Errorf("got %+v, want %s of %s among them", images, instance.Image, instance.Digest)
	}
	if _, err := store.Import(ctx, strings.NewReader("this is no archive")); !errors.Is(err, edge.ErrInvalid) {
		return fmt.Errorf("got %v from an import of nonsense, want %v", err, edge.ErrInvalid)
	}
	return nil
}
