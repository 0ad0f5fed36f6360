package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"holdfast/edge"
	"holdfast/edge/trust"
	"holdfast/policycache"
)

// lostRoot is an error where a node without a root document was governed by one. A
// file system that is not mounted, or a wrong path, is not to free it.
func lostRoot(path, state string) error {
	for _, name := range policycache.Traces() {
		trace := filepath.Join(state, name)
		_, err := os.Lstat(trace)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("there is no root document %q, and whether policies govern this node cannot be told: %w", path, err)
		}
		return edge.WithHint(
			fmt.Errorf("there is no root document %q, though policies govern this node, as %q shows: %w", path, trace, edge.ErrNotFound),
			"put it back and start the agent anew; to free the node from policies on purpose, stop the agent and move "+
				strings.Join(policycache.Traces(), ", ")+" out of "+state)
	}
	return nil
}

// keep copies the root document into the state folder, unless it is there. The copy
// counts only where the document is damaged or gone: another valid one in its place is
// the owner's right. A disk that takes no writes is no reason to do without the node.
func (t Trust) keep(state string, log *slog.Logger) {
	if t.Root == nil || t.Recovered != nil {
		return
	}
	if text, err := readRegular(filepath.Join(state, policycache.KeptRoot), trust.MaxEnvelope); err == nil && bytes.Equal(text, t.text) {
		return
	}
	if err := policycache.KeepRoot(state, t.text); err != nil {
		log.Warn("root-not-kept", "error", err.Error())
	}
}
