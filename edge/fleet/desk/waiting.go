package desk

import (
	"fmt"

	"holdfast/edge"
	"holdfast/edge/fleet"
)

// policyID tells one policy from another.
type policyID struct {
	version uint64
	digest  string
}

// hearWaiting notes a policy that the broker keeps for a node, whose place ours would
// take: it may be newer than what the node has had occasion to report. One that the node
// would not believe is as good as none.
func (w *application) hearWaiting(s Said) {
	document, err := fleet.OpenDocument(s.Payload)
	if err == nil {
		err = CheckDocument(document, w.Root)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.listen: // it is ours, or came after
	case len(s.Payload) == 0:
		delete(w.waiting, s.Topic.Node)
	case err == nil && document.Policy != nil && len(w.waiting) < maxNodes:
		w.waiting[s.Topic.Node] = policyID{document.Version(), digestOf(document.Payload)}
	}
}

// checkWaiting finds nodes that would never get the newer policy that waits for them.
func (w *application) checkWaiting() error {
	if w.Document.Policy == nil || w.Replace {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range w.names {
		node, _ := w.registry.Node(name)
		if waits, is := w.waiting[name]; is && w.wouldLose(node, waits) {
			return edge.WithHint(fmt.Errorf("cannot apply %s version %d: %s: %s: %w", w.Document.Name(), w.Document.Version(), name, waitsWords(waits.version, w.Document.Version()), edge.ErrExists),
				"build and sign it anew with a higher version; --replace takes the place of what waits, which this node then never gets")
		}
	}
	return nil
}

// wouldLose tells whether a node has not had what waits for it, and would not after ours.
func (w *application) wouldLose(n Node, waits policyID) bool {
	if n.Reported != nil && (n.Reported.Policy.Version >= waits.version || n.Reported.Policy.FailedVersion == waits.version) {
		return false
	}
	return waits.version > w.Document.Version() || waits.version == w.Document.Version() && waits.digest != w.digest
}

func waitsWords(waits, wanted uint64) string {
	if waits == wanted {
		return fmt.Sprintf("another document of version %d waits for it at the broker", waits)
	}
	return fmt.Sprintf("version %d waits for it at the broker", waits)
}
