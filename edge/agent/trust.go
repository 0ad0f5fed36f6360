package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/trust"
	"holdfast/policycache"
)

// Trust is what came with the node and is never written by it: whom it believes,
// and the policy it has until it gets another one.
type Trust struct {
	Root    *trust.Root // nil: no policy governs the node, or Err says why it believes nobody
	Factory []byte      // signed; empty: none
	// Err says why a document that should be there cannot be used. Such a node is not
	// free to run what it likes: without a root it keeps what runs.
	Err error
	// Recovered says why the root document that came with the node cannot be used,
	// where Root is the copy that the node kept of it.
	Recovered error

	text []byte // of the root document, to see that it changed
}

// ReadTrust reads the files that the configuration names. That there is no root
// document means that no policy governs the node, unless its state folder shows that
// one did: then the document is lost, and the copy kept of it counts.
func ReadTrust(from config.Policy, state string) Trust {
	t := readRoot(from.Root, state)
	if t.Root != nil {
		t.Factory, t.Err = readEnvelope(from.Factory)
	}
	return t
}

func readRoot(path, state string) Trust {
	root, text, err := readRootDocument(path)
	if root != nil {
		return Trust{Root: root, text: text}
	}
	if err == nil {
		if err = lostRoot(path, state); err == nil {
			return Trust{}
		}
	}
	if root, text, keptErr := readRootDocument(filepath.Join(state, policycache.KeptRoot)); keptErr == nil && root != nil {
		return Trust{Root: root, Recovered: err, text: text}
	}
	return Trust{Err: err}
}

// readRootDocument reads one that its own keys signed; nil when there is no such file.
func readRootDocument(path string) (*trust.Root, []byte, error) {
	text, err := readEnvelope(path)
	if err != nil || text == nil {
		return nil, nil, err
	}
	root, err := trust.FirstRoot(text)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot believe root document %q: %w", path, err)
	}
	return root, text, nil
}

// Governs tells whether only policies say what may run here.
func (t Trust) Governs() bool { return t.Root != nil || t.Err != nil }

// WhyUngoverned says why the node takes no policy; nil when it does.
func (t Trust) WhyUngoverned() error {
	switch {
	case t.Root != nil:
		return nil
	case t.Err != nil: // in words only: what is wrong is not the policy that came
		return edge.WithHint(
			fmt.Errorf("cannot apply policy: this node believes nobody, because its root document cannot be used (%v): %w", t.Err, edge.ErrInvalid),
			t.remedy())
	}
	return edge.WithHint(
		fmt.Errorf("cannot apply policy: no policy governs this node, because it has no root document: %w", edge.ErrInvalid),
		"put that of the fleet where policy.root says, and start the agent anew")
}

// changed names the files that are not as they were, so that a restart would put
// something else in force. A document that was lost and is kept has not changed.
func (t Trust) changed(from Trust) (files []string) {
	if !bytes.Equal(t.text, from.text) || t.Governs() != from.Governs() {
		files = append(files, "policy.root (the file itself)")
	}
	if !bytes.Equal(t.Factory, from.Factory) {
		files = append(files, "policy.factory (the file itself)")
	}
	return files
}

// readEnvelope reads a signed document; nil when there is no such file. A link to a
// file that is not there is one all the same: whatever should hold it is away.
func readEnvelope(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	text, err := readRegular(path, trust.MaxEnvelope)
	if errors.Is(err, fs.ErrNotExist) {
		if link := danglingLink(path); link != "" {
			return nil, fmt.Errorf("cannot read signed document %q: %q leads nowhere: %w", path, link, edge.ErrInvalid)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read signed document: %w", err)
	}
	return text, nil
}

// danglingLink is the part of a path that is a link to nowhere; empty when there is
// none.
func danglingLink(path string) string {
	for {
		if info, err := os.Lstat(path); err == nil {
			if _, err := os.Stat(path); err != nil && info.Mode()&fs.ModeSymlink != 0 {
				return path
			}
			return ""
		}
		above := filepath.Dir(path)
		if above == path {
			return ""
		}
		path = above
	}
}
