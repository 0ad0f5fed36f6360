package oip

import (
	"bytes"
	"encoding/json"
	"fmt"

	"holdfast/edge"
)

// Annotate merges params into the parameters of an answer, over what stands there
// under the same names. It walks the JSON once and decodes none of it; the bytes
// of everything else, raw tensor data included, stay as they are. An answer that
// is not JSON, or has no outputs, gives a *FieldError.
func Annotate(p edge.Payload, params map[string]any) (edge.Payload, error) {
	head, tail, err := split(p)
	if err != nil {
		return edge.Payload{}, err
	}
	found, err := locate(head, params)
	if err != nil {
		return edge.Payload{}, err
	}
	if len(params) == 0 {
		return p, nil
	}
	ours, err := json.Marshal(params)
	if err != nil {
		return edge.Payload{}, fmt.Errorf("cannot encode parameters: %w", err)
	}
	patch := found.patch(ours)
	body := make([]byte, 0, len(p.Body)-(found.to-found.from)+len(patch))
	body = append(append(append(body, head[:found.from]...), patch...), head[found.to:]...)
	out := edge.Payload{Body: append(body, tail...)}
	if p.HeaderLength > 0 {
		out.HeaderLength = len(body)
	}
	return out, nil
}

// place is where an answer's parameters stand, or belong.
type place struct {
	from, to int
	exists   bool
	kept     [][]byte // members that stay, as text
}

// patch writes what replaces the text of the place. ours is an object.
func (p place) patch(ours []byte) []byte {
	inner := ours[1 : len(ours)-1]
	parts := p.kept
	if len(inner) > 0 {
		parts = append([][]byte{inner}, parts...)
	}
	object := append(append([]byte("{"), bytes.Join(parts, []byte(","))...), '}')
	if p.exists {
		return object
	}
	// Outputs exist, so another member follows.
	return append(append([]byte(`"parameters":`), object...), ',')
}

// locate finds the parameters of an answer, and checks its syntax on the way.
func locate(head []byte, params map[string]any) (place, error) {
	c := cursor{src: head}
	var found place
	outputs := false
	err := c.object(func(key []byte) error {
		switch string(key) {
		case "parameters":
			c.peek()
			kept, from := [][]byte(nil), c.pos
			null, err := c.null()
			if err == nil && !null {
				kept, err = c.members(params)
			}
			found = place{from: from, to: c.pos, exists: true, kept: kept}
			return err
		case "outputs":
			if c.peek() != '[' {
				return c.fail("must be an array")
			}
			outputs = true
		}
		_, err := c.skip(new(leaves))
		return err
	})
	if err == nil {
		err = c.end()
	}
	if err == nil && !outputs {
		err = fieldErrorf("outputs", "is missing")
	}
	if !found.exists {
		brace := bytes.IndexByte(head, '{') + 1
		found.from, found.to = brace, brace
	}
	return found, err
}

// members returns the text of an object's members but for those named in without.
func (c *cursor) members(without map[string]any) ([][]byte, error) {
	var kept [][]byte
	err := c.object(func(key []byte) error {
		value, err := c.skip(new(leaves))
		if _, replaced := without[string(key)]; err != nil || replaced {
			return err
		}
		name, err := json.Marshal(string(key))
		kept = append(kept, append(append(name, ':'), value...))
		return err
	})
	return kept, err
}
