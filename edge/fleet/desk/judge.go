package desk

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"holdfast/edge"
	"holdfast/mqtt"
)

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
