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
)

// keptRoot is the node's copy, in its state folder, of the root document it came with.
// It counts only where that one is damaged or gone: another valid one in its place is
// the owner's right.
const keptRoot = "root.kept"

// governedBy are the files of the state folder that only a node has which policies
// govern.
var governedBy = [...]string{keptRoot, "policy.A", "policy.B", "state.db"}

// lostRoot is an error where a node without a root document was governed by one. A
// file system that is not mounted, or a wrong path, is not to free it.
func lostRoot(path, state string) error {
	for _, name := range governedBy {
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
				strings.Join(governedBy[:], ", ")+" out of "+state)
	}
	return nil
}

// keep copies the root document into the state folder, unless it is there. A disk that
// takes no writes is no reason to do without the node.
func (t Trust) keep(state string, log *slog.Logger) {
	if t.Root == nil || t.Recovered != nil {
		return
	}
	path := filepath.Join(state, keptRoot)
	if text, err := readRegular(path, trust.MaxEnvelope); err == nil && bytes.Equal(text, t.text) {
		return
	}
	if err := replace(path, t.text); err != nil {
		log.Warn("root-not-kept", "error", err.Error())
	}
}

// replace gives a file new content, so that after a power cut either the old or the
// new is there, whole.
func replace(path string, content []byte) error {
	draft := path + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(draft, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
