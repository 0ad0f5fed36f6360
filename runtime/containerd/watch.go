package containerd

import (
	"context"
	"fmt"

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
		version, err := c.Version(ctx)
		if err == nil {
			pause = newPause()
			report(edge.DaemonReport{Connected: true, Version: version.Version})
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

// attend blocks until the daemon goes away, which ends the stream of its events.
// None of them is asked for: the stream serves as a wire that breaks.
func (d *Driver) attend(ctx context.Context, c *client.Client) error {
	events, failed := c.EventService().Subscribe(ctx, fmt.Sprintf("topic==%q", "/holdfast/none"))
	for {
		select {
		case <-events:
		case err := <-failed:
			if err == nil {
				err = edge.ErrUnavailable
			}
			return err
		}
	}
}
