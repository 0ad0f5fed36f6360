package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	// Proven waits until the policy is no longer on trial.
	Proven bool
	// Tell is called whenever a node has come further; never twice at a time.
	Tell func(Applied)
}

// ApplyStage is how far a node has come with a document.
type ApplyStage string

// The stages; Applied and those after it are final.
const (
	ApplySent    ApplyStage = "sent"    // the broker has it
	ApplyOffline ApplyStage = "offline" // and keeps it until the node comes
	ApplyTrial   ApplyStage = "trial"   // it is in force, on trial
	ApplyDone    ApplyStage = "applied"
	ApplyNewer   ApplyStage = "newer" // another version is in force that is not older
	ApplyRefused ApplyStage = "refused"
	ApplyBack    ApplyStage = "taken back" // it was in force and failed
)

// Applied is how far one node is.
type Applied struct {
	Node  string     `json:"node"`
	Stage ApplyStage `json:"stage"`
	Has   uint64     `json:"version"` // in force there
	Why   string     `json:"why,omitempty"`
}

// Final tells whether waiting changes nothing.
func (a Applied) Final() bool {
	return a.Stage == ApplyDone || a.Stage == ApplyNewer || a.Stage == ApplyRefused || a.Stage == ApplyBack
}

// CheckDocument finds what no node would take: no signature, too many bytes, or, where
// a root document is given, signatures it does not make nodes believe.
func CheckDocument(d *fleet.Document, root *trust.Root) error {
	switch {
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
// refuse as too old is edge.ErrExists, and goes to nobody.
func (d *Desk) Apply(ctx context.Context, a Application) ([]Applied, error) {
	registry := NewRegistry()
	w := &application{Application: a, registry: registry, digest: digestOf(a.Document.Payload), news: map[string]Applied{}, told: map[string]Applied{}}
	take := d.into(registry)
	hear := func(s Said) {
		if s.Topic.Kind == mqtt.UpEvent {
			w.event(s)
			return
		}
		take(s)
	}
	filters := d.filters(a.To.Node, append(aboutThemselves(), mqtt.UpEvent)...)
	err := d.visit(ctx, filters, hear, func(ctx context.Context, v *visit) error { return w.carry(ctx, v) })
	if !w.handed {
		return nil, err
	}
	return w.all(), err
}

// application is one Apply under way.
type application struct {
	Application
	registry *Registry
	digest   string
	names    []string
	told     map[string]Applied
	handed   bool // a broker may have the document

	mu     sync.Mutex // guards below
	listen bool       // the document is on its way; what was said before is not about it
	news   map[string]Applied
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

func (w *application) all() []Applied {
	all := make([]Applied, 0, len(w.names))
	for _, name := range w.names {
		node, _ := w.registry.Node(name)
		all = append(all, w.judge(node))
	}
	return all
}

// judge weighs a node's report, which counts before what its events said.
func (w *application) judge(n Node) Applied {
	a := Applied{Node: n.Name, Stage: ApplySent}
	if n.Connection == Offline {
		a.Stage = ApplyOffline
		if _, known := w.registry.Node(n.Name); !known {
			a.Why = "the broker has never heard of it"
		}
	}
	if w.Document.Root != nil {
		return w.judgeRoot(n, a)
	}
	if n.Reported != nil {
		version, p := w.Document.Version(), n.Reported.Policy
		a.Has = p.Version
		switch {
		case p.Digest == w.digest && p.Trial && w.Proven:
			a.Stage = ApplyTrial
		case p.Digest == w.digest:
			a.Stage = ApplyDone
		case p.FailedVersion == version:
			a.Stage, a.Why = ApplyBack, p.FailedWhy
		case p.Version >= version:
			a.Stage, a.Why = ApplyNewer, newerWords(p.Version, version)
		}
	}
	return w.heeded(a)
}

func newerWords(has, wanted uint64) string {
	if has == wanted {
		return fmt.Sprintf("its version %d is another document, and a node takes a version once", has)
	}
	return fmt.Sprintf("it has version %d, and a node never goes back", has)
}

func (w *application) judgeRoot(n Node, a Applied) Applied {
	if n.Reported != nil {
		if a.Has = n.Reported.Policy.Root; a.Has >= w.Document.Version() {
			a.Stage = ApplyDone
		}
	}
	return w.heeded(a)
}

// heeded adds what an event said, where the report has not said more.
func (w *application) heeded(a Applied) Applied {
	w.mu.Lock()
	defer w.mu.Unlock()
	if said, is := w.news[a.Node]; is && !a.Final() {
		a.Stage, a.Why = said.Stage, said.Why
	}
	return a
}

// event takes up a refusal, or that the policy was taken back.
func (w *application) event(s Said) {
	u, err := mqtt.DecodeEnvelope(s.Payload)
	if err != nil || u.Node != s.Topic.Node || u.Historical {
		return
	}
	var e edge.Event
	if json.Unmarshal(u.Body, &e) != nil {
		return
	}
	stage := map[edge.EventKind]ApplyStage{edge.EventPolicyRefused: ApplyRefused, edge.EventPolicyRolledBack: ApplyBack}[e.Kind]
	if stage == "" || stage == ApplyBack && e.Facts["failed"] != fmt.Sprint(w.Document.Version()) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listen && len(w.news) < maxNodes {
		w.news[u.Node] = Applied{Stage: stage, Why: e.Cause}
	}
}

// Outstanding are those that have not got the document into force.
func Outstanding(all []Applied) []Applied {
	return slices.DeleteFunc(slices.Clone(all), func(a Applied) bool { return a.Stage == ApplyDone })
}

// Tally counts the nodes by stage, in words.
func Tally(all []Applied) string {
	count := map[ApplyStage]int{}
	for _, a := range all {
		count[a.Stage]++
	}
	words := ""
	for _, stage := range slices.Sorted(maps.Keys(count)) {
		if words != "" {
			words += ", "
		}
		words += fmt.Sprintf("%d %s", count[stage], stage)
	}
	return words
}
