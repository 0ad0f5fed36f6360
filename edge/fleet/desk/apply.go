package desk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
	"holdfast/mqtt"
)

// Application is a signed document on its way to the nodes it is meant for.
type Application struct {
	Document *fleet.Document
	To       Wanted
	// Folder keeps the document for those who attend, once it is on its way; nil does not.
	Folder *Folder
	Wait   time.Duration // 0: until the broker has it
	// Root makes policies believable that wait at the broker; nil believes all.
	Root *trust.Root
	// Replace takes the place of a newer policy that waits for a node at the broker, too.
	Replace bool
	// Proven waits until the policy is no longer on trial.
	Proven bool
	// Tell is called whenever a node has come further; never twice at a time.
	Tell func(Applied)
}

// CheckDocument finds what no node would take: no signature, too many bytes, or, where
// a root document is given, signatures it does not make nodes believe.
func CheckDocument(d *fleet.Document, root *trust.Root) error {
	switch {
	case d.Release != nil:
		return edge.WithHint(fmt.Errorf("cannot apply %s: it is no policy and no root document: %w", d.Name(), edge.ErrInvalid),
			"name it in a policy's agent.release, or send the command update")
	case d.Signed() == nil:
		return edge.WithHint(fmt.Errorf("cannot apply %s: it is not signed: %w", d.Name(), edge.ErrInvalid), "sign it with `holdfast policy sign`")
	case len(d.Signed()) > trust.MaxEnvelope:
		return fmt.Errorf("cannot apply %s: %d bytes, %d are allowed: %w", d.Name(), len(d.Signed()), trust.MaxEnvelope, edge.ErrInvalid)
	case root == nil:
		return nil
	}
	_, err := d.Verify(root)
	return err
}

// Apply publishes a document to every node it is meant for, a policy retained, and
// waits until they report it. What each node made of it comes back with an error, too;
// nil means that no broker has got the document. A policy that one of the nodes would
// refuse as too old, or for which a newer one waits at the broker, is edge.ErrExists, and
// goes to nobody.
func (d *Desk) Apply(ctx context.Context, a Application) ([]Applied, error) {
	registry := NewRegistry()
	w := &application{Application: a, registry: registry, digest: digestOf(a.Document.Payload), waiting: map[string]policyID{}, news: map[string]Applied{}, told: map[string]Applied{}}
	take := d.into(registry)
	hear := func(s Said) {
		switch s.Topic.Kind {
		case mqtt.UpEvent:
			w.event(s)
		case mqtt.DownPolicy:
			w.hearWaiting(s)
		default:
			take(s)
		}
	}
	err := d.visit(ctx, d.filters(a.To.Node, w.kinds()...), hear, func(ctx context.Context, v *visit) error { return w.carry(ctx, v) })
	if !w.handed {
		return nil, err
	}
	return w.all(), err
}

// kinds are what is listened to: for a policy also those that wait for their nodes.
func (w *application) kinds() []mqtt.Kind {
	kinds := append(aboutThemselves(), mqtt.UpEvent)
	if w.Document.Policy != nil {
		kinds = append(kinds, mqtt.DownPolicy)
	}
	return kinds
}

// application is one Apply under way.
type application struct {
	Application
	registry *Registry
	digest   string
	names    []string
	told     map[string]Applied
	handed   bool // a broker may have the document

	mu      sync.Mutex // guards below
	listen  bool       // the document is on its way; what was said before is not about it
	news    map[string]Applied
	waiting map[string]policyID // at the broker, for each node, before
}

func (w *application) carry(ctx context.Context, v *visit) (err error) {
	if err := v.settle(ctx); err != nil {
		return err
	}
	var audience *edge.Audience
	if w.Document.Policy != nil {
		audience = &w.Document.Policy.Metadata.Audience
	}
	if w.names, err = v.desk.choose(w.registry.Nodes(), audience, w.To); err != nil {
		return w.forNobody(fmt.Errorf("cannot apply %s: %w", w.Document.Name(), err))
	}
	if err := w.checkOlder(); err != nil {
		return err
	}
	if err := w.checkWaiting(); err != nil {
		return err
	}
	if err := w.keep(); err != nil {
		return err
	}
	w.mu.Lock()
	w.listen = true
	w.mu.Unlock()
	err = w.publish(ctx, v)
	switch {
	case err != nil:
	case w.Wait > 0:
		err = w.wait(ctx, v)
	default:
		w.look() // as it is now, which says who will have to come first
	}
	w.handed = v.handed
	return orElse(err, v.undelivered)
}

func (w *application) keep() error {
	if w.Folder == nil {
		return nil
	}
	return w.Folder.KeepDocument(w.Document)
}

// forNobody keeps a policy for nodes that are yet to come, and says so.
func (w *application) forNobody(err error) error {
	hint := "`holdfast fleet nodes` lists those who have ever connected; --node NAME sends to one that has not"
	if w.Folder == nil || !errors.Is(err, edge.ErrNotFound) {
		return edge.WithHint(err, hint)
	}
	if kept := w.keep(); kept != nil {
		return errors.Join(err, kept)
	}
	return edge.WithHint(err, hint+". It is kept in the desk's folder: `holdfast fleet attend` brings it to those it is for when they come")
}

// checkOlder finds nodes that would refuse the policy, before the broker remembers it in
// a newer one's place.
func (w *application) checkOlder() error {
	if w.Document.Policy == nil {
		return nil
	}
	for _, name := range w.names {
		node, _ := w.registry.Node(name)
		if a := w.judge(node); a.Stage == ApplyNewer {
			return edge.WithHint(fmt.Errorf("cannot apply %s version %d: %s: %s: %w", w.Document.Name(), w.Document.Version(), name, a.Why, edge.ErrExists),
				"build and sign it anew with a higher version; --node, --group and --label leave nodes out")
		}
	}
	return nil
}

// publish gives the broker the document for each node: a policy to remember, so that
// nodes that are away find it.
func (w *application) publish(ctx context.Context, v *visit) error {
	var messages []mqtt.Message
	for _, name := range w.names {
		messages = append(messages, mqtt.Message{Topic: v.desk.topic(name, mqtt.DownPolicy), Payload: w.Document.Signed(), Retained: w.Document.Policy != nil})
	}
	if err := v.publish(ctx, messages...); err != nil {
		return fmt.Errorf("cannot publish %s: %w", w.Document.Name(), err)
	}
	return nil
}

func (w *application) wait(ctx context.Context, v *visit) error {
	over := time.NewTimer(w.Wait)
	defer over.Stop()
	for !w.look() {
		select {
		case <-v.heard:
		case <-v.ups:
			if !v.lost() {
				continue
			}
			// perhaps the document was lost with the connection
			if err := w.publish(ctx, v); err != nil {
				return err
			}
		case <-over.C:
			w.look()
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// look tells what is new, and whether every node is done.
func (w *application) look() (done bool) {
	done = true
	for _, now := range w.all() {
		if w.Tell != nil && w.told[now.Node] != now {
			w.Tell(now)
		}
		w.told[now.Node] = now
		done = done && now.Final()
	}
	return done
}
