package mqtt

import (
	"bytes"
	"encoding/json"
	"fmt"

	"holdfast/edge"
)

// patchDepth is what a document that is patched may have; a reported state has 4.
const patchDepth = 16

// Diff returns the JSON merge patch (RFC 7396) that makes one object of another, in
// the canonical form; "{}" when they are equal. A patch cannot say null, so a document
// that holds it is an error.
func Diff(from, to []byte) ([]byte, error) {
	was, err := decodeObject(from)
	if err != nil {
		return nil, fmt.Errorf("cannot compare documents: %w", err)
	}
	is, err := decodeObject(to)
	if err != nil {
		return nil, fmt.Errorf("cannot compare documents: %w", err)
	}
	if holdsNull(is) {
		return nil, fmt.Errorf("cannot compare documents: no patch can say null: %w", edge.ErrInvalid)
	}
	return edge.CanonicalJSON(difference(was, is))
}

// Merge applies a JSON merge patch to an object, and returns the canonical form of
// what it becomes.
func Merge(object, patch []byte) ([]byte, error) {
	to, err := decodeObject(object)
	if err != nil {
		return nil, fmt.Errorf("cannot patch document: %w", err)
	}
	with, err := decodeObject(patch)
	if err != nil {
		return nil, fmt.Errorf("cannot use patch: %w", err)
	}
	return edge.CanonicalJSON(merged(to, with))
}

// decodeObject reads an object; numbers stay as they are written.
func decodeObject(text []byte) (map[string]any, error) {
	if err := edge.CheckJSON(text, edge.JSONBounds{Size: MaxEnvelope, Depth: patchDepth}); err != nil {
		return nil, err
	}
	var object map[string]any
	reader := json.NewDecoder(bytes.NewReader(text))
	reader.UseNumber()
	if err := reader.Decode(&object); err != nil {
		return nil, fmt.Errorf("not an object: %w", edge.ErrInvalid)
	}
	if object == nil {
		return nil, fmt.Errorf("not an object: %w", edge.ErrInvalid)
	}
	return object, nil
}

// holdsNull looks where a patch would be read as a removal: not in arrays.
func holdsNull(value any) bool {
	object, isObject := value.(map[string]any)
	if !isObject {
		return value == nil
	}
	for _, member := range object {
		if holdsNull(member) {
			return true
		}
	}
	return false
}

// difference says what changed; both are objects, and what is new holds no null.
func difference(was, is map[string]any) map[string]any {
	patch := map[string]any{}
	for name := range was {
		if _, stays := is[name]; !stays {
			patch[name] = nil
		}
	}
	for name, now := range is {
		before, had := was[name]
		from, wasObject := before.(map[string]any)
		to, isObject := now.(map[string]any)
		switch {
		case wasObject && isObject:
			if inner := difference(from, to); len(inner) > 0 {
				patch[name] = inner
			}
		case !had || !equal(before, now):
			patch[name] = now
		}
	}
	return patch
}

// equal compares by the text, in which 1 and 1.0 differ; that costs a few bytes.
func equal(a, b any) bool {
	one, errOne := edge.CanonicalJSON(a)
	other, errOther := edge.CanonicalJSON(b)
	return errOne == nil && errOther == nil && bytes.Equal(one, other)
}

// merged is the algorithm of RFC 7396, section 2, for objects.
func merged(target, patch map[string]any) map[string]any {
	for name, value := range patch {
		inner, isObject := value.(map[string]any)
		switch {
		case value == nil:
			delete(target, name)
		case isObject:
			was, _ := target[name].(map[string]any)
			if was == nil {
				was = map[string]any{}
			}
			target[name] = merged(was, inner)
		default:
			target[name] = value
		}
	}
	return target
}
