package oip

import (
	"fmt"

	"holdfast/edge"
)

// ParseRequest reads an inference request. headerLength is the length of its JSON
// part in bytes; 0 means that all of body is JSON. What is returned refers to
// body. Errors are *FieldError.
func ParseRequest(body []byte, headerLength int) (*InferRequest, error) {
	head, tail, err := split(edge.Payload{Body: body, HeaderLength: headerLength})
	if err != nil {
		return nil, err
	}
	req := &InferRequest{}
	c := cursor{src: head, path: make([]step, 0, 8), leastDim: 1}
	if err := c.request(req); err != nil {
		return nil, err
	}
	if len(req.Inputs) == 0 {
		return nil, fieldErrorf("inputs", "must hold at least one tensor")
	}
	return req, assignBinary("inputs", req.Inputs, head, tail)
}

// ParseResponse reads a model's answer in the same way. Its dimensions may be 0.
func ParseResponse(p edge.Payload) (*InferResponse, error) {
	head, tail, err := split(p)
	if err != nil {
		return nil, err
	}
	resp := &InferResponse{}
	c := cursor{src: head, path: make([]step, 0, 8)}
	if err := c.response(resp); err != nil {
		return nil, err
	}
	if resp.Outputs == nil {
		return nil, fieldErrorf("outputs", "is missing")
	}
	return resp, assignBinary("outputs", resp.Outputs, head, tail)
}

// split parts a payload into its JSON and the raw tensor data behind it.
func split(p edge.Payload) (head, tail []byte, err error) {
	switch n := p.HeaderLength; {
	case n == 0:
		return p.Body, nil, nil
	case n < 0:
		return nil, nil, fieldErrorf(HeaderLengthField, "must be positive, not %d", n)
	case n > len(p.Body):
		return nil, nil, fieldErrorf(HeaderLengthField, "is %d, but the body has %d bytes", n, len(p.Body))
	default:
		return p.Body[:n], p.Body[n:], nil
	}
}

func (c *cursor) request(req *InferRequest) error {
	err := c.object(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			req.ID, err = c.text()
		case "parameters":
			req.Parameters, err = c.parameters()
		case "inputs":
			req.Inputs, err = c.tensors()
		case "outputs":
			req.Outputs, err = c.requestedOutputs()
		default:
			_, err = c.skip(new(leaves))
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.end()
}

func (c *cursor) response(resp *InferResponse) error {
	err := c.object(func(key []byte) (err error) {
		switch string(key) {
		case "model_name":
			resp.ModelName, err = c.text()
		case "model_version":
			resp.ModelVersion, err = c.text()
		case "id":
			resp.ID, err = c.text()
		case "parameters":
			resp.Parameters, err = c.parameters()
		case "outputs":
			resp.Outputs, err = c.tensors()
		default:
			_, err = c.skip(new(leaves))
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.end()
}

func (c *cursor) tensors() ([]Tensor, error) {
	tensors := make([]Tensor, 0, 1)
	err := c.array(maxTensors, func(int) error {
		t, err := c.tensor()
		tensors = append(tensors, t)
		return err
	})
	return tensors, err
}

// tensor reads one tensor; all but its parameters and data must be there.
func (c *cursor) tensor() (t Tensor, err error) {
	err = c.object(func(key []byte) (err error) {
		switch string(key) {
		case "name":
			t.Name, err = c.text()
		case "datatype":
			t.Datatype, err = c.datatype()
		case "shape":
			t.Shape, err = c.shape()
		case "parameters":
			t.Parameters, err = c.parameters()
		case "data":
			t.Data, err = c.data(&t.seen)
		default:
			_, err = c.skip(new(leaves))
		}
		return err
	})
	switch {
	case err != nil:
		return t, err
	case t.Name == "":
		return t, c.fail("has no name")
	case t.Datatype == "":
		return t, c.fail("has no datatype")
	case t.Shape == nil:
		return t, c.fail("has no shape")
	}
	return t, nil
}

func (c *cursor) shape() ([]int64, error) {
	shape := make([]int64, 0, 4)
	err := c.array(maxRank, func(int) error {
		n, err := c.integer()
		if err == nil && n < c.leastDim {
			err = c.fail("must be positive, not %d", n)
		}
		shape = append(shape, n)
		return err
	})
	return shape, err
}

// data passes a tensor's JSON data and counts what it holds.
func (c *cursor) data(seen *leaves) ([]byte, error) {
	if b := c.peek(); b != '[' && c.startsValue(b) {
		return nil, c.fail("must be an array")
	}
	*seen = leaves{}
	return c.skip(seen)
}

func (c *cursor) parameters() (Parameters, error) {
	if null, err := c.null(); null || err != nil {
		return nil, err
	}
	params := Parameters{}
	err := c.object(func(key []byte) error {
		if len(params) == maxParameters {
			return c.fail("is one of more than %d parameters", maxParameters)
		}
		if b := c.peek(); b == '{' || b == '[' {
			return c.fail("must be a string, a number or a boolean")
		}
		value, err := c.skip(new(leaves))
		params[string(key)] = value
		return err
	})
	return params, err
}

func (c *cursor) requestedOutputs() ([]RequestedOutput, error) {
	if null, err := c.null(); null || err != nil {
		return nil, err
	}
	var outputs []RequestedOutput
	err := c.array(maxTensors, func(int) error {
		var out RequestedOutput
		err := c.object(func(key []byte) (err error) {
			switch string(key) {
			case "name":
				out.Name, err = c.text()
			case "parameters":
				out.Parameters, err = c.parameters()
			default:
				_, err = c.skip(new(leaves))
			}
			return err
		})
		if err == nil && out.Name == "" {
			err = c.fail("has no name")
		}
		outputs = append(outputs, out)
		return err
	})
	return outputs, err
}

// assignBinary hands each tensor its part of the bytes behind the JSON, in
// order, and holds that they come out even. A tensor has either data or a size.
func assignBinary(list string, tensors []Tensor, head, tail []byte) error {
	rest := tail
	for i := range tensors {
		t := &tensors[i]
		raw, given := t.Parameters["binary_data_size"]
		switch {
		case given && t.Data != nil:
			return fieldErrorf(fmt.Sprintf("%s[%d]", list, i), "has both data and binary_data_size; it must have one of them")
		case !given && t.Data == nil:
			return fieldErrorf(fmt.Sprintf("%s[%d]", list, i), "has neither data nor binary_data_size")
		case !given:
			continue
		}
		c := cursor{src: raw}
		size, err := c.integer()
		if err != nil || size < 0 {
			return fieldErrorf(binarySizeField(list, i), "must be a whole number of bytes, not %.20s", raw)
		}
		if size > int64(len(rest)) {
			return fieldErrorf(binarySizeField(list, i), "is %d, but %d bytes are left after the %d bytes of JSON", size, len(rest), len(head))
		}
		t.binary, rest = rest[:size:size], rest[size:]
		if t.binary == nil {
			t.binary = []byte{}
		}
	}
	if len(rest) > 0 {
		return fieldErrorf(list, "claim %d bytes of binary data, but %d follow the JSON", len(tail)-len(rest), len(tail))
	}
	return nil
}

func binarySizeField(list string, i int) string {
	return fmt.Sprintf("%s[%d].parameters.binary_data_size", list, i)
}
