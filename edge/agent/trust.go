package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/trust"
)

// Trust is what came with the node and is never written by it: whom it believes,
// and the policy it has until it gets another one.
type Trust struct {
	Root    *trust.Root // nil: no policy governs the node
	Factory []byte      // signed; empty: none
	// Err says why a root document that is there cannot be used. Such a node is not
	// free to run what it likes: it keeps what runs.
	Err error

	text []byte // of the root document, to see that it changed
}

// ReadTrust reads the files that the configuration names. That there is none means
// that no policy governs the node.
func ReadTrust(from config.Policy) Trust {
	text, err := readEnvelope(from.Root)
	if err != nil || text == nil {
		return Trust{Err: err}
	}
	root, err := trust.FirstRoot(text)
	if err != nil {
		return Trust{Err: fmt.Errorf("cannot believe root document %q: %w", from.Root, err)}
	}
	factory, err := readEnvelope(from.Factory)
	return Trust{Root: root, Factory: factory, Err: err, text: text}
}

// Governs tells whether only policies say what may run here.
func (t Trust) Governs() bool { return t.Root != nil || t.Err != nil }

func (t Trust) differs(from Trust) bool { return !bytes.Equal(t.text, from.text) }

// readEnvelope reads a signed document; nil when there is no such file.
func readEnvelope(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read signed document: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, trust.MaxEnvelope+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read signed document %q: %w", path, err)
	case len(text) > trust.MaxEnvelope:
		return nil, fmt.Errorf("cannot read signed document %q: more than %d bytes: %w", path, trust.MaxEnvelope, edge.ErrInvalid)
	}
	return text, nil
}
