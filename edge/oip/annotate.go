package oip

import (
	"bytes"

	"holdfast/edge"
)

// Annotate merges notes into the parameters of an answer, over what stands there
// under the same names. It walks the JSON once and decodes none of it; the bytes
// of everything else, raw tensor data included, stay as they are. An answer that
// is not JSON, or has no outputs, gives a *FieldError.
func Annotate(p edge.Payload, notes Notes) (edge.Payload, error) {
	head, tail, err := split(p)
	if err != nil {
		return edge.Payload{}, err
	}
	found, err := locate(head, &notes)
	if err != nil {
		return edge.Payload{}, err
	}
	if len(notes.names) == 0 {
		return p, nil
	}
	body := make([]byte, 0, len(p.Body)+len(notes.text)+len(`"parameters":{,},`))
	body = found.patch(append(body, head[:found.from]...), notes.text)
	body = append(body, head[found.to:]...)
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

// patch appends what replaces the text of the place: ours, then what is kept.
func (p place) patch(body, ours []byte) []byte {
	if !p.exists {
		body = append(body, `"parameters":`...)
	}
	body = append(append(body, '{'), ours...)
	for _, member := range p.kept {
		body = append(append(body, ','), member...)
	}
	body = append(body, '}')
	if !p.exists {
		body = append(body, ',') // outputs exist, so another member follows
	}
	return body
}

// locate finds the parameters of an answer, and checks its syntax on the way.
func locate(head []byte, notes *Notes) (place, error) {
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
				kept, err = c.members(notes)
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

// members returns the text of an object's members but for those noted anew.
func (c *cursor) members(notes *Notes) ([][]byte, error) {
	var kept [][]byte
	err := c.object(func(key []byte) error {
		value, err := c.skip(new(leaves))
		if err != nil || notes.has(key) {
			return err
		}
		kept = append(kept, append(append(appendText(nil, string(key)), ':'), value...))
		return nil
	})
	return kept, err
}
