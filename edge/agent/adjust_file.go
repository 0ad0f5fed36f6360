package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"holdfast/edge"
	"holdfast/edge/boltfile"
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
	return boltfile.Replace(boltfile.RealDisk{}, path, text)
}

// draftOf is what a file is called until it is whole.
func draftOf(path string) string { return path + ".new" }
