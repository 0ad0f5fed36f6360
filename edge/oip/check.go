package oip

import (
	"fmt"
	"strings"
)

// Check holds a parsed request against what the model says of itself: names,
// datatypes, shapes, and as much data as the shapes call for. A model that
// declares no inputs or no outputs is not held to any; then the tensors must
// only be right in themselves. Errors are *FieldError.
func (r *InferRequest) Check(meta ModelMetadata) error {
	for i := range r.Inputs {
		field := fmt.Sprintf("inputs[%d]", i)
		if len(meta.Inputs) > 0 {
			if err := r.checkDeclared(field, i, meta); err != nil {
				return err
			}
		}
		if err := r.Inputs[i].check(field); err != nil {
			return err
		}
	}
	if err := r.checkMissing(meta); err != nil {
		return err
	}
	return r.checkOutputs(meta)
}

// Check holds the tensors of a parsed answer against their own shapes and
// datatypes. Errors are *FieldError.
func (r *InferResponse) Check() error {
	for i := range r.Outputs {
		if err := r.Outputs[i].check(fmt.Sprintf("outputs[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

// checkDeclared holds one input against its declaration.
func (r *InferRequest) checkDeclared(field string, i int, meta ModelMetadata) error {
	t := &r.Inputs[i]
	want, known := find(meta.Inputs, t.Name)
	switch {
	case !known:
		return fieldErrorf(field+".name", "%.64q is no input of model %q, which takes %s", t.Name, meta.Name, names(meta.Inputs))
	case t.Datatype != want.Datatype:
		return fieldErrorf(field+".datatype", "is %s, but input %q of model %q is %s", t.Datatype, t.Name, meta.Name, want.Datatype)
	case len(t.Shape) != len(want.Shape):
		return fieldErrorf(field+".shape", "has %d dimensions, but input %q of model %q has %d: %v", len(t.Shape), t.Name, meta.Name, len(want.Shape), want.Shape)
	}
	for d, n := range want.Shape {
		if n >= 0 && n != t.Shape[d] {
			return fieldErrorf(fmt.Sprintf("%s.shape[%d]", field, d), "is %d, but input %q of model %q has %d: %v", t.Shape[d], t.Name, meta.Name, n, want.Shape)
		}
	}
	for earlier := range i {
		if r.Inputs[earlier].Name == t.Name {
			return fieldErrorf(field+".name", "%q is given twice", t.Name)
		}
	}
	return nil
}

// check holds a tensor's data against its own shape and datatype.
func (t *Tensor) check(field string) error {
	d, known := datatypeOf(t.Datatype)
	if !known {
		return fieldErrorf(field+".datatype", "%.20q is not known", t.Datatype)
	}
	want, ok := elements(t.Shape)
	if !ok {
		return fieldErrorf(field+".shape", "is larger than can be counted: %v", t.Shape)
	}
	if t.binary != nil {
		return t.checkBinary(field+".parameters.binary_data_size", d, want)
	}
	if t.seen.kinds&^d.kinds != 0 {
		return fieldErrorf(field+".data", "must hold nothing but %s for %s", kindName(d.kinds), d.name)
	}
	if t.seen.count != want {
		return fieldErrorf(field+".data", "has %d elements, but shape %v needs %d", t.seen.count, t.Shape, want)
	}
	return nil
}

func (t *Tensor) checkBinary(field string, d datatype, want int64) error {
	got := int64(len(t.binary))
	if d.size > 0 {
		// Divided, not multiplied: the product need not fit.
		if got/d.size != want || got%d.size != 0 {
			return fieldErrorf(field, "is %d, but shape %v of %s needs %d elements of %d bytes", got, t.Shape, d.name, want, d.size)
		}
		return nil
	}
	count, even := countStrings(t.binary)
	if !even {
		return fieldErrorf(field, "is %d, which does not end with the end of element %d", got, count)
	}
	if count != want {
		return fieldErrorf(field, "covers %d elements, but shape %v needs %d", count, t.Shape, want)
	}
	return nil
}

func (r *InferRequest) checkMissing(meta ModelMetadata) error {
	for _, want := range meta.Inputs {
		given := false
		for i := range r.Inputs {
			given = given || r.Inputs[i].Name == want.Name
		}
		if !given {
			return fieldErrorf("inputs", "lack %q, which model %q needs as %s %v", want.Name, meta.Name, want.Datatype, want.Shape)
		}
	}
	return nil
}

func (r *InferRequest) checkOutputs(meta ModelMetadata) error {
	if len(meta.Outputs) == 0 {
		return nil
	}
	for i, out := range r.Outputs {
		if _, known := find(meta.Outputs, out.Name); !known {
			return fieldErrorf(fmt.Sprintf("outputs[%d].name", i), "%.64q is no output of model %q, which gives %s", out.Name, meta.Name, names(meta.Outputs))
		}
	}
	return nil
}

func find(tensors []TensorMetadata, name string) (TensorMetadata, bool) {
	for _, t := range tensors {
		if t.Name == name {
			return t, true
		}
	}
	return TensorMetadata{}, false
}

func names(tensors []TensorMetadata) string {
	list := make([]string, len(tensors))
	for i, t := range tensors {
		list[i] = t.Name
	}
	return strings.Join(list, ", ")
}

func kindName(k kind) string {
	switch k {
	case kindBool:
		return "true and false"
	case kindString:
		return "strings"
	default:
		return "numbers"
	}
}
