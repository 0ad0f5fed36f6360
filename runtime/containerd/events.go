package containerd

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
	"golang.org/x/sync/errgroup"

	"holdfast/edge"
)

// The daemon's events that say something of an instance.
var topics = [...]string{
	"/containers/create", "/containers/update", "/containers/delete",
	"/tasks/start", "/tasks/exit", "/tasks/oom", "/tasks/paused", "/tasks/resumed",
}

// Events tells what happens to instances until ctx ends.
func (d *Driver) Events(ctx context.Context, emit func(edge.InstanceEvent)) error {
	c, err := d.conn()
	if err != nil {
		return err
	}
	held := newBacklog()
	// Two, so that the daemon, which holds for a slow listener whatever it has not
	// taken, never waits for emit.
	var both errgroup.Group
	both.Go(func() error {
		d.listen(ctx, c, held.put)
		return nil
	})
	both.Go(func() error {
		held.drain(ctx, emit)
		return nil
	})
	return both.Wait()
}

// listen follows the daemon's events, again each time they broke off.
func (d *Driver) listen(ctx context.Context, c *client.Client, tell func(...edge.InstanceEvent)) {
	for pause := newPause(); ; {
		attached, err := d.follow(ctx, c, tell)
		if ctx.Err() != nil {
			return
		}
		if attached {
			pause = newPause()
		}
		d.log.Debug("container events broke off", "attached", attached, "error", err)
		if pause.wait(ctx) != nil {
			return
		}
		d.nudge()
	}
}

// follow tells events until their stream breaks. Its first is a gap, told when the
// stream is known to run and the instances were listed.
func (d *Driver) follow(ctx context.Context, c *client.Client, tell func(...edge.InstanceEvent)) (attached bool, err error) {
	ctx, cancel := context.WithCancel(d.scope(ctx))
	defer cancel()
	mark := "/holdfast/mark/" + rand.Text()
	stream, failed := c.EventService().Subscribe(ctx, d.filters(mark)...)
	if err := d.attach(ctx, c, stream, failed, mark); err != nil {
		return false, err
	}
	seen, err := d.enroll(ctx, c)
	if err != nil {
		return false, err
	}
	tell(edge.InstanceEvent{At: time.Now(), Kind: edge.InstanceEventGap})
	for {
		select {
		case envelope := <-stream:
			told, err := d.hear(ctx, c, seen, envelope)
			if err != nil {
				return true, err
			}
			tell(told...)
		case err := <-failed:
			return true, err
		}
	}
}

// filters ask for the events of our namespace alone, and for one more.
func (d *Driver) filters(mark string) []string {
	var filters []string
	for _, topic := range append(topics[:], mark) {
		filters = append(filters, fmt.Sprintf("namespace==%q,topic==%q", d.opts.Namespace, topic))
	}
	return filters
}

// attach returns when the daemon has taken the subscription in, which it does at
// some moment after it was asked to and without saying so: events of our own are
// published until one comes through. What came before it is not told.
func (d *Driver) attach(ctx context.Context, c *client.Client, stream <-chan *events.Envelope, failed <-chan error, mark string) error {
	const again = 20 * time.Millisecond
	ticker := time.NewTicker(again)
	defer ticker.Stop()
	if err := d.publish(ctx, c, mark); err != nil {
		return err
	}
	for {
		select {
		case envelope := <-stream:
			if envelope.Topic == mark {
				return nil
			}
		case err := <-failed:
			return err
		case <-ticker.C:
			if err := d.publish(ctx, c, mark); err != nil {
				return err
			}
		}
	}
}

func (d *Driver) publish(ctx context.Context, c *client.Client, mark string) error {
	ctx, cancel := context.WithTimeout(ctx, d.opts.AnswerWithin)
	defer cancel()
	return c.EventService().Publish(ctx, mark, &eventsapi.ContainerCreate{ID: "holdfast-mark"})
}

// enroll takes in the instances that are there.
func (d *Driver) enroll(ctx context.Context, c *client.Client) (roster, error) {
	ctx, cancel := context.WithTimeout(ctx, d.opts.AnswerWithin)
	defer cancel()
	held, err := c.ContainerService().List(ctx, fmt.Sprintf("labels.%q", labelWorkload))
	if err != nil {
		return nil, err
	}
	seen := make(roster, len(held))
	for _, container := range held {
		seen.enroll(container.ID, container.Labels)
	}
	return seen, nil
}

// hear makes of an event what it says of an instance: nothing, one event or two.
func (d *Driver) hear(ctx context.Context, c *client.Client, seen roster, envelope *events.Envelope) ([]edge.InstanceEvent, error) {
	if envelope.Namespace != d.opts.Namespace {
		return nil, nil
	}
	message, err := typeurl.UnmarshalAny(envelope.Event)
	if err != nil {
		return nil, fmt.Errorf("cannot decode event %q: %w", envelope.Topic, err)
	}
	at := envelope.Timestamp
	switch event := message.(type) {
	case *eventsapi.ContainerCreate:
		if envelope.Topic != topics[0] {
			return nil, nil // a late mark
		}
		return nil, d.meet(ctx, c, seen, event.ID)
	case *eventsapi.ContainerUpdate:
		seen.enroll(event.ID, event.Labels)
	case *eventsapi.ContainerDelete:
		return seen.removed(event.ID, at), nil
	case *eventsapi.TaskStart:
		return seen.started(event.ContainerID, at), nil
	case *eventsapi.TaskExit:
		if event.ID != event.ContainerID {
			return nil, nil // a command that ran in it
		}
		return seen.exited(event.ContainerID, at, d.exitOf(event.ContainerID, event.ExitStatus, event.ExitedAt.AsTime())), nil
	case *eventsapi.TaskOOM:
		// In the first version of cgroups all below one that is short are told so, and
		// perhaps before anybody is killed; whose end it was says so itself.
		if kills, known := d.kills(event.ContainerID); known && !seen.lost(event.ContainerID, kills) {
			return nil, nil
		}
		return seen.starved(event.ContainerID, at), nil
	case *eventsapi.TaskPaused:
		return seen.simple(event.ContainerID, at, edge.InstancePaused), nil
	case *eventsapi.TaskResumed:
		return seen.simple(event.ContainerID, at, edge.InstanceResumed), nil
	}
	return nil, nil
}

// meet looks at a new container, whose event does not tell its labels. One that is
// gone already had no time to become an instance.
func (d *Driver) meet(ctx context.Context, c *client.Client, seen roster, id string) error {
	ctx, cancel := context.WithTimeout(ctx, d.opts.AnswerWithin)
	defer cancel()
	container, err := c.ContainerService().Get(ctx, id)
	if err == nil {
		seen.enroll(id, container.Labels)
	}
	return unlessGone(native(err))
}
