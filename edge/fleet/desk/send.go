package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Order is a signed command on its way.
type Order struct {
	Envelope []byte
	// Folder keeps the command from the moment it is published; nil keeps it nowhere. What
	// never reached the broker leaves nothing there.
	Folder *Folder
	Wait   time.Duration // for final replies; 0: until the broker has it
	// Tell is called with every answer that says something new, and once for a node that
	// is offline; never twice at a time.
	Tell func(Answer)
}

// Send publishes a command and waits until every node it is for has said what became of
// it. The answers that came come back with an error, too; none at all, nil, means that no
// broker has got the command.
func (d *Desk) Send(ctx context.Context, o Order) ([]Answer, error) {
	command, _, err := OpenCommand(o.Envelope)
	if err != nil {
		return nil, fmt.Errorf("cannot send command: %w", err)
	}
	if len(o.Envelope) > mqtt.DefaultFrame-mqtt.MaxTopic {
		return nil, fmt.Errorf("cannot send command %q: %d bytes do not fit a frame: %w", command.ID, len(o.Envelope), edge.ErrInvalid)
	}
	if o.Folder != nil {
		if _, err := o.Folder.before(command.ID, o.Envelope); err != nil {
			return nil, err
		}
	}
	w := &errand{Order: o, command: command, registry: NewRegistry(), answers: map[string]Answer{}, told: map[string]string{}, refusals: map[string]refusal{}}
	take := d.into(w.registry)
	hear := func(s Said) {
		if s.Topic.Kind == mqtt.UpReply || s.Topic.Kind == mqtt.UpEvent {
			w.reply(s)
			w.doubt(s)
			return
		}
		w.greeted(s)
		take(s)
	}
	filters := d.filters(command.Audience.Node, mqtt.UpPresence, mqtt.UpHello, mqtt.UpReply, mqtt.UpEvent)
	err = d.visit(ctx, filters, hear, w.carry)
	if !w.handed {
		return nil, err
	}
	return w.all(), err
}

// errand is one Send under way.
type errand struct {
	Order
	command  *edge.Command
	registry *Registry
	names    []string          // whose answers are waited for
	told     map[string]string // the last that was told of each
	handed   bool              // a broker may have the command

	mu       sync.Mutex // guards below
	answers  map[string]Answer
	refusals map[string]refusal // since the command was published
	sent     bool
	back     bool // a node that has not answered came back since the command was published
}

func (w *errand) carry(ctx context.Context, v *visit) error {
	if err := v.settle(ctx); err != nil {
		return err
	}
	names, err := v.desk.choose(w.registry.Nodes(), &w.command.Audience, Wanted{Node: w.command.Audience.Node})
	if err != nil {
		return edge.WithHint(fmt.Errorf("cannot send command %q: %w", w.command.ID, err), "`holdfast fleet nodes` lists those who have ever connected, with their groups")
	}
	w.mu.Lock()
	w.names = names // from now on not changed
	w.mu.Unlock()
	undo, err := w.keep()
	if err != nil {
		return err
	}
	err = w.publish(ctx, v)
	switch {
	case err != nil:
	case w.Wait > 0:
		err = w.wait(ctx, v)
	default:
		w.look()
	}
	if w.handed = v.handed; w.handed {
		return err
	}
	return errors.Join(orElse(err, v.undelivered), undo())
}

func orElse(err error, or func() error) error {
	if err != nil {
		return err
	}
	return or()
}

// keep keeps the command before it is published: who has it published must be able to
// ask for it again. What is kept under its id already is what is sent.
func (w *errand) keep() (undo func() error, err error) {
	if w.Folder == nil {
		return func() error { return nil }, nil
	}
	w.Envelope, undo, err = w.Folder.keepCommand(w.Envelope)
	return undo, err
}

// publish sends the command once for all, or to each node where labels say whose it is.
func (w *errand) publish(ctx context.Context, v *visit) error {
	topics := []string{mqtt.Topic{Site: v.desk.options.Site, Group: w.command.Audience.Group, Kind: mqtt.GroupCommand}.String()}
	if w.command.Audience.Group == "" {
		topics = nil
		for _, name := range w.names {
			topics = append(topics, v.desk.topic(name, mqtt.DownCommand))
		}
	}
	w.mu.Lock()
	w.back, w.sent = false, true
	w.mu.Unlock()
	var messages []mqtt.Message
	for _, topic := range topics {
		messages = append(messages, mqtt.Message{Topic: topic, Payload: w.Envelope})
	}
	if err := v.publish(ctx, messages...); err != nil {
		return fmt.Errorf("cannot publish command %q: %w", w.command.ID, err)
	}
	return nil
}

// againEvery is how often at most a command is said again to nodes that come back.
const againEvery = time.Second

// wait hears answers, and says the command again where it may have been lost: with our
// connection, or with what the broker kept for a node. The same bytes have one effect,
// and get the same reply again.
func (w *errand) wait(ctx context.Context, v *visit) error {
	over := time.NewTimer(w.Wait)
	defer over.Stop()
	again := time.NewTicker(againEvery)
	defer again.Stop()
	for !w.look() {
		due := false
		select {
		case <-v.heard:
		case <-v.ups:
		case <-again.C:
			due = w.cameBack()
		case <-over.C:
			w.look()
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if v.lost() || due {
			if err := w.publish(ctx, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// greeted notes that a node whose answer is waited for has come back.
func (w *errand) greeted(s Said) {
	if s.Topic.Kind != mqtt.UpHello {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, heard := w.answers[s.Topic.Node]
	w.back = w.back || !heard && slices.Contains(w.names, s.Topic.Node)
}

func (w *errand) cameBack() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.back
}
