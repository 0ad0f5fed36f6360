package cli

import (
	"fmt"

	"holdfast/edge"
	"holdfast/edge/fleet"
)

// updateArgs name a release by its digest, or by its folder or document at hand, and where
// nodes get it.
func updateArgs(_ *door, args []string, v verbFlags) (map[string]any, error) {
	wish := edge.AgentPolicy{Release: args[0], Sources: args[1:]}
	if !edge.IsDigest(args[0]) {
		document, err := readRelease(args[0])
		if err != nil {
			return nil, noFile(err, "name a release by its digest, sha256:…, or its folder")
		}
		wish.Release = document.Digest()
	}
	if v.bandwidth != "" {
		var err error
		if wish.Bandwidth, err = edge.ParseSize(v.bandwidth); err != nil {
			return nil, usageError{err}
		}
	}
	if err := wish.Check(); err != nil {
		return nil, usageError{err}
	}
	object := map[string]any{"release": wish.Release, "sources": wish.Sources}
	if wish.Bandwidth > 0 {
		object["bandwidth"] = wish.Bandwidth.String()
	}
	if v.again {
		object["again"] = true
	}
	return object, nil
}

// readRelease reads a document, of a file or in a folder, that must be a release.
func readRelease(path string) (*fleet.Document, error) {
	document, err := fleet.ReadDocument(releaseDocument(path))
	if err != nil {
		return nil, err
	}
	if document.Release == nil {
		return nil, fmt.Errorf("cannot read %q: it is a %s, not a release: %w", path, document.Name(), edge.ErrInvalid)
	}
	return document, nil
}
