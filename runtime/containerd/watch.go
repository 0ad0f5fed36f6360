package containerd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"

	"holdfast/edge"
)

// Watch reports the daemon's comings and goings until ctx ends: the first report
// comes at once, another each time something changed.
func (d *Driver) Watch(ctx context.Context, changed func(edge.DaemonReport)) error {
	c, err := d.conn()
	if err != nil {
		return err
	}
	var last *edge.DaemonReport
	report := func(r edge.DaemonReport) {
		r.Address, r.Namespace = d.opts.Address, d.opts.Namespace
		if last == nil || last.Connected != r.Connected || last.Version != r.Version {
			last = &r
			changed(r)
		}
	}
	for pause := newPause(); ; {
		version, err := d.version(ctx, c)
		if err == nil {
			pause = newPause()
			report(edge.DaemonReport{Connected: true, Version: version})
			err = d.attend(ctx, c)
		}
		if ctx.Err() != nil {
			return nil
		}
		report(edge.DaemonReport{Error: native(err).Error()})
		if pause.wait(ctx) != nil {
			return nil
		}
		d.nudge()
	}
}

// version asks the daemon for its version. One that does not answer in time hangs,
// or its disk does, and is as good as away.
func (d *Driver) version(ctx context.Context, c *client.Client) (string, error) {
	bounded, cancel := context.WithTimeout(ctx, d.opts.AnswerWithin)
	defer cancel()
	version, err := c.Version(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return "", edge.WithHint(fmt.Errorf("containerd is %w: no answer within %v", edge.ErrUnavailable, d.opts.AnswerWithin),
			"does containerd hang? systemctl status containerd")
	}
	return version.Version, err
}

// attend blocks until the daemon goes away, which ends the stream of its events,
// or no longer answers. None of the events is asked for: the stream serves as a
// wire that breaks. Meanwhile leftovers of an earlier agent are swept away.
func (d *Driver) attend(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	events, failed := c.EventService().Subscribe(ctx, fmt.Sprintf("topic==%q", "/holdfast/none"))
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	defer cancel()
	sweeping.Go(func() { d.sweep(d.scope(ctx), c) })
	ask := time.NewTicker(d.opts.AskEvery)
	defer ask.Stop()
	for {
		select {
		case <-events:
		case <-ask.C:
			if _, err := d.version(ctx, c); err != nil {
				return err
			}
			d.tend(d.scope(ctx), c)
		case err := <-failed:
			if err == nil {
				err = edge.ErrUnavailable
			}
			return err
		}
	}
}
