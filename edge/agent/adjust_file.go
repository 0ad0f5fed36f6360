package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/edge"
)

const (
	// maxAdjusted bounds the file: a policy of 48 KiB names some hundred workloads.
	maxAdjusted = 64 << 10
	// maxAdjustedDepth is the object with its map.
	maxAdjustedDepth = 4
	// maxReplicas bounds what a command may ask for where the policy says nothing: more
	// instances of one workload than any gateway has cores.
	maxReplicas = 16
	// mostReplicas is more than any policy lets a command ask for, and so no number that
	// was ever kept.
	mostReplicas = 1 << 16
)

// readAdjusted reads the file; one that is not there holds nothing.
func readAdjusted(path string) (*adjusted, error) {
	text, err := readRegular(path, maxAdjusted)
	if errors.Is(err, fs.ErrNotExist) {
		return &adjusted{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read adjusted workloads: %w", err)
	}
	var kept adjusted
	unknown, err := edge.DecodeJSON(text, edge.JSONBounds{Size: maxAdjusted, Depth: maxAdjustedDepth}, &kept)
	if err != nil {
		return nil, fmt.Errorf("cannot read adjusted workloads from %q: %w", path, err)
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("cannot read adjusted workloads from %q: field %q is unknown: %w", path, unknown[0], edge.ErrInvalid)
	}
	for key, n := range kept.Replicas {
		if n < 0 || n > mostReplicas {
			return nil, fmt.Errorf("cannot read adjusted workloads from %q: %d replicas of %q: %w", path, n, key, edge.ErrInvalid)
		}
	}
	return &kept, nil
}

// writeAdjusted replaces the file as a whole: whenever the power is cut, either the old
// or the new one is there.
func writeAdjusted(path string, kept *adjusted) error {
	text, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("cannot encode adjusted workloads: %w", err)
	}
	return replaceSynced(path, text)
}

// draftOf is what a file is called until it is whole.
func draftOf(path string) string { return path + ".new" }

// replaceSynced puts a text in the place of a file as a whole, and for good.
func replaceSynced(path string, text []byte) error {
	draft := draftOf(path)
	if err := writeSynced(draft, text); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func writeSynced(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncFolder makes a rename in it last.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
