package desk

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Answer is how far a node has come with a command.
type Answer struct {
	Node  string     `json:"node"`
	Reply edge.Reply `json:"reply"` // the latest; its stage is empty while nothing was heard
	// Connection of the node, as far as it is known.
	Connection Connection `json:"connection"`
	// Refusal is why the node has refused a command since this one was sent, of which it has
	// said nothing: likely this one.
	Refusal string `json:"refusal,omitempty"`
}

// TypeProgress is the type of envelopes that say how far a running command is.
const TypeProgress = "progress"

// refusal is that a node has refused some command.
type refusal struct {
	why string
	at  time.Time
}

// grace is how long after a refusal a node may still say that it was about another
// command, by answering this one.
const grace = 3 * time.Second

// look tells what is new, and whether every node is done.
func (w *errand) look() (done bool) {
	done = true
	for _, a := range w.all() {
		said := fmt.Sprint(a.Reply.Stage, progressWords(a.Reply.Progress), a.Refusal)
		if said == "" && (a.Connection == Offline || a.Connection == Unknown) {
			said = string(a.Connection)
		}
		if w.Tell != nil && said != "" && w.told[a.Node] != said {
			w.Tell(a)
		}
		w.told[a.Node] = said
		done = done && (a.Done() || w.hopeless(a))
	}
	return done
}

// hopeless tells whether a node has refused something and said nothing of this command
// since.
func (w *errand) hopeless(a Answer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, is := w.refusals[a.Node]
	return is && a.Reply.Stage == "" && time.Since(r.at) >= grace
}

// Done tells whether the node has said its last about the command.
func (a Answer) Done() bool { return a.Reply.Stage != "" && a.Reply.Stage.Final() }

func (w *errand) all() []Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := map[string]bool{}
	for _, name := range w.names {
		names[name] = true
	}
	for name := range w.answers {
		names[name] = true // it knows better than we that it was meant
	}
	all := make([]Answer, 0, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		node, known := w.registry.Node(name)
		a := w.answers[name]
		if a.Node, a.Connection = name, node.Connection; !known {
			a.Connection = Unknown
		}
		if a.Reply.Stage == "" {
			a.Refusal = w.refusals[name].why
		}
		all = append(all, a)
	}
	return all
}

// reply takes up a node's word about the command. Nothing follows a final one, and
// what comes late goes nowhere.
func (w *errand) reply(s Said) {
	u, err := mqtt.DecodeEnvelope(s.Payload)
	if err != nil || u.Node != s.Topic.Node || s.Topic.Kind == mqtt.UpEvent && u.Type != TypeProgress {
		return
	}
	var r edge.Reply
	err = json.Unmarshal(u.Body, &r)
	if r.Stage == "" && r.Progress != nil {
		r.Stage = edge.StageStarted
	}
	if err != nil || r.Command != w.command.ID || !isStage(r.Stage) {
		return
	}
	if r.Issuer != "" && (r.Issuer != w.command.Issuer || r.Counter != w.command.Counter) {
		return // another command under the same id
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	last, heard := w.answers[u.Node]
	if last.Done() || rank(r) < rank(last.Reply) || !heard && len(w.answers) >= maxNodes {
		return
	}
	r.Progress = cmp.Or(r.Progress, last.Reply.Progress)
	w.answers[u.Node] = Answer{Node: u.Node, Reply: r}
}

// doubt takes up that a node has refused a command. One that nobody it trusts has signed has no id that
// counts; what says whether it was this one is what the message was, where the node tells.
func (w *errand) doubt(s Said) {
	u, err := mqtt.DecodeEnvelope(s.Payload)
	if err != nil || u.Node != s.Topic.Node || u.Type != typeEvent || u.Historical {
		return
	}
	var e edge.Event
	if json.Unmarshal(u.Body, &e) != nil || e.Kind != edge.EventCommandRefused {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if told := e.Facts[edge.FactMessage]; told != "" && told != edge.MessageDigest(w.Envelope) {
		return
	}
	if w.sent && slices.Contains(w.names, u.Node) {
		w.refusals[u.Node] = refusal{strings.Trim(e.Subject+": "+e.Cause, ": "), time.Now()}
	}
}

func isStage(s edge.Stage) bool {
	switch s {
	case edge.StageReceived, edge.StageStarted, edge.StageSucceeded, edge.StageFailed, edge.StageRefused,
		edge.StageExpired, edge.StageSuperseded, edge.StageIndeterminate:
		return true
	}
	return false
}

// rank orders replies as they follow each other.
func rank(r edge.Reply) int {
	switch {
	case r.Stage == "":
		return 0
	case r.Stage == edge.StageReceived:
		return 1
	case r.Stage == edge.StageStarted:
		return 2
	}
	return 3
}

// progressWords says how far a command is.
func progressWords(p *edge.Progress) string {
	if p == nil {
		return ""
	}
	var words []string
	switch {
	case p.Total > 0:
		words = append(words, strings.TrimSpace(fmt.Sprintf("%d of %d (%.0f %%) %s", p.Done, p.Total, float64(p.Done)/float64(p.Total)*100, p.Unit)))
	case p.Done > 0 || p.Unit != "":
		words = append(words, strings.TrimSpace(fmt.Sprint(p.Done, " ", p.Unit)))
	}
	if p.Note != "" {
		words = append(words, p.Note)
	}
	return strings.Join(words, ", ")
}

// ProgressWords says how far a command is, empty where it has not said so.
func (a Answer) ProgressWords() string { return progressWords(a.Reply.Progress) }
