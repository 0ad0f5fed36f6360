package edge

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// FieldProblem is one defect of a document, by the path of its field, for example
// tenants.vision.cpu or triggers[0].deadline.
type FieldProblem struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Error says which field and what is wrong.
func (p *FieldProblem) Error() string {
	if p.Field == "" {
		return p.Detail
	}
	return p.Field + ": " + p.Detail
}

// Unwrap makes every one ErrInvalid.
func (p *FieldProblem) Unwrap() error { return ErrInvalid }

// maxProblems is as many defects of one document as a person reads at once.
const maxProblems = 16

// DecodeJSON reads a document that comes from outside into a pointer to a struct.
// It differs from json.Unmarshal: CheckJSON comes first, names match exactly, every
// defect is a *FieldProblem, and fields the struct does not have are returned by
// path instead of going unseen.
func DecodeJSON(text []byte, bounds JSONBounds, into any) (unknown []string, err error) {
	if err := CheckJSON(text, bounds); err != nil {
		return nil, err
	}
	d := &decoder{}
	d.fill(text, reflect.ValueOf(into).Elem(), "")
	return d.unknown, errors.Join(d.problems...)
}

// understands tells whether values of a type have a field, by path: names with dots
// between, * for a name that is free, nothing for a place in a list.
func understands(of reflect.Type, path string) bool {
	if path == "" {
		return true
	}
	name, rest, _ := strings.Cut(path, ".")
	switch kind := of.Kind(); {
	case kind == reflect.Pointer || kind == reflect.Slice:
		return understands(of.Elem(), path)
	case isLeaf(reflect.PointerTo(of)):
		return false
	case kind == reflect.Map:
		return name == "*" && understands(of.Elem(), rest)
	case kind == reflect.Struct:
		i := fieldNamed(of, name)
		return i >= 0 && understands(of.Field(i).Type, rest)
	}
	return false
}

// isLeaf tells whether a pointer's type reads its value itself.
func isLeaf(pointer reflect.Type) bool {
	return pointer.Implements(reflect.TypeFor[json.Unmarshaler]()) || pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// CanonicalJSON writes a value in the form that is signed and compared: object keys
// sorted by their bytes, no white space, nothing escaped that need not be (but the
// line separators U+2028 and U+2029), numbers as short as they stay exact.
func CanonicalJSON(value any) ([]byte, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("cannot encode document: %w", err)
	}
	var tree any
	reader := json.NewDecoder(bytes.NewReader(plain))
	reader.UseNumber()
	if err := reader.Decode(&tree); err != nil {
		return nil, fmt.Errorf("cannot encode document: %w", err)
	}
	var out bytes.Buffer
	writer := json.NewEncoder(&out)
	writer.SetEscapeHTML(false)
	if err := writer.Encode(tree); err != nil {
		return nil, fmt.Errorf("cannot encode document: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// decoder fills a value and remembers what it could not.
type decoder struct {
	problems []error
	unknown  []string
}

// place is where in a document something stands: triggers[0].deadline.
type place string

func (p place) field(name string) place {
	if p == "" {
		return place(name)
	}
	return p + "." + place(name)
}

func (p place) item(i int) place { return p + place(fmt.Sprintf("[%d]", i)) }

func (d *decoder) fail(at place, detail string) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, &FieldProblem{string(at), detail})
	}
}

// defaulter is a value that is not zero before its fields are read.
type defaulter interface{ setDefaults() }

func (d *decoder) fill(raw json.RawMessage, into reflect.Value, at place) {
	if into.Kind() == reflect.Pointer {
		if !isNull(raw) {
			into.Set(reflect.New(into.Type().Elem()))
			d.fill(raw, into.Elem(), at)
		}
		return
	}
	if isLeaf(into.Addr().Type()) {
		d.leaf(raw, into, at)
		return
	}
	if own, is := into.Addr().Interface().(defaulter); is {
		own.setDefaults()
	}
	switch into.Kind() {
	case reflect.Struct:
		d.structure(raw, into, at)
	case reflect.Map:
		d.mapping(raw, into, at)
	case reflect.Slice:
		d.list(raw, into, at)
	default:
		d.leaf(raw, into, at)
	}
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// object splits an object into its fields; null has none.
func (d *decoder) object(raw json.RawMessage, at place) (fields map[string]json.RawMessage) {
	if json.Unmarshal(raw, &fields) != nil {
		d.fail(at, "must be an object")
	}
	return fields
}

func (d *decoder) structure(raw json.RawMessage, into reflect.Value, at place) {
	fields := d.object(raw, at)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if i := fieldNamed(into.Type(), name); i >= 0 {
			d.fill(fields[name], into.Field(i), at.field(name))
		} else {
			d.unknown = append(d.unknown, string(at.field(name)))
		}
	}
}

// fieldNamed finds the field a name stands for, -1 when there is none.
func fieldNamed(of reflect.Type, name string) int {
	for i := range of.NumField() {
		tag, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if tag == name && tag != "-" && tag != "" {
			return i
		}
	}
	return -1
}

func (d *decoder) mapping(raw json.RawMessage, into reflect.Value, at place) {
	fields := d.object(raw, at)
	if fields == nil {
		return
	}
	of := into.Type()
	into.Set(reflect.MakeMapWithSize(of, len(fields)))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		key := reflect.New(of.Key())
		if own, ok := key.Interface().(encoding.TextUnmarshaler); !ok {
			key.Elem().SetString(name)
		} else if err := own.UnmarshalText([]byte(name)); err != nil {
			d.fail(at.field(name), err.Error())
			continue
		}
		value := reflect.New(of.Elem()).Elem()
		d.fill(fields[name], value, at.field(name))
		into.SetMapIndex(key.Elem(), value)
	}
}

func (d *decoder) list(raw json.RawMessage, into reflect.Value, at place) {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		d.fail(at, "must be a list")
	}
	if items == nil {
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(items), len(items)))
	for i, item := range items {
		d.fill(item, into.Index(i), at.item(i))
	}
}

func (d *decoder) leaf(raw json.RawMessage, into reflect.Value, at place) {
	err := json.Unmarshal(raw, into.Addr().Interface())
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
	case errors.As(err, &mismatch):
		d.fail(at, "must be "+wanted(into)+", not "+quoteShort(string(raw)))
	default:
		d.fail(at, err.Error())
	}
}

// wanted says in words what a field takes.
func wanted(field reflect.Value) string {
	if _, text := field.Addr().Interface().(encoding.TextUnmarshaler); text {
		return "a text"
	}
	switch field.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not below zero"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	default:
		return "a text"
	}
}
