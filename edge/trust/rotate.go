package trust

import "fmt"

// FirstRoot takes a root document on the word of whoever put it on the node: built
// in or flashed. That its own keys signed it shows only that it is whole.
func FirstRoot(envelope []byte) (*Root, error) {
	opened, err := Open(envelope)
	if err != nil {
		return nil, err
	}
	if opened.PayloadType != TypeRoot {
		return nil, refuse(ReasonWrongType, "signed as %q, not as %q", opened.PayloadType, TypeRoot)
	}
	root, err := DecodeRoot(opened.Payload)
	if err != nil {
		return nil, err
	}
	if _, err := root.verify(RoleRoot, opened); err != nil {
		return nil, err
	}
	return root, nil
}

// NextRoot follows a rotation: the successor has the next version and is signed by
// enough keys of the current root, and by enough of its own so that nobody hands
// over to keys that cannot sign. Every error is a *Refusal.
func NextRoot(current *Root, envelope []byte) (*Root, error) {
	if current == nil {
		return nil, refuse(ReasonNoRoot, "there is no root document")
	}
	opened, err := Open(envelope)
	if err != nil {
		return nil, err
	}
	// Nothing in the payload is looked at before those who are trusted vouch for it.
	if _, err := current.verify(RoleRoot, opened); err != nil {
		return nil, err
	}
	next, err := DecodeRoot(opened.Payload)
	if err != nil {
		return nil, err
	}
	switch {
	case next.Version <= current.Version:
		return nil, refuse(ReasonRollback, "root version %d, version %d is held", next.Version, current.Version)
	case next.Version != current.Version+1:
		return nil, refuse(ReasonVersionGap, "root version %d does not follow version %d", next.Version, current.Version)
	}
	if _, err := next.verify(RoleRoot, opened); err != nil {
		return nil, err
	}
	return next, nil
}

// FollowRoots applies several rotations in order. On a refusal it returns how far it
// got with the error: everything up to there is to be kept.
func FollowRoots(current *Root, envelopes ...[]byte) (*Root, error) {
	for i, envelope := range envelopes {
		next, err := NextRoot(current, envelope)
		if err != nil {
			return current, fmt.Errorf("cannot follow root document %d of %d: %w", i+1, len(envelopes), err)
		}
		current = next
	}
	return current, nil
}
