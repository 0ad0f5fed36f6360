package compose

import (
	"context"
	"fmt"
	"math"
	"strings"

	"holdfast/edge"
)

// Document is a YAML file that holds Compose projects beside other things, as a
// policy does: its values, and the places they stand at. Keys that begin with x- at
// the top are the home of anchors and not among the values.
type Document struct {
	path   string
	top    *node
	values map[string]any
	places map[string]*node
}

// Parse reads a document. path is what its problems name. Texts are taken as they
// stand; only within a Project are variables replaced.
func Parse(path string, content []byte) (*Document, error) {
	f := &file{problems: problems{file: path}, verbatim: true}
	top, values := f.parse(content)
	if err := f.err(); err != nil {
		return nil, err
	}
	d := &Document{path: path, top: top, values: values, places: map[string]*node{}}
	top.walk(func(n *node) { d.places[n.path] = n })
	return d, nil
}

// Values are the plain values of the document: maps by text, lists, texts, numbers
// that JSON can carry exactly, truths and nothing. They belong to the caller.
func (d *Document) Values() map[string]any { return d.values }

// Keys lists the keys of the mapping at a path, in the order of the file.
func (d *Document) Keys(path string) []string {
	if at := d.places[path]; at != nil {
		return at.order
	}
	return nil
}

// Problem is a defect at a path, such as triggers[0].deadline. Where there is no such
// place it points at the deepest there is on the way.
func (d *Document) Problem(path, detail, remedy string) *Problem {
	at := d.nearest(path)
	return &Problem{File: d.path, Line: at.line, Column: at.column, Key: path, Detail: detail, Remedy: remedy}
}

func (d *Document) nearest(path string) *node {
	for path != "" {
		if at := d.places[path]; at != nil {
			return at
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return d.top
}

// Project reads the Compose project that stands at a path, under the name app. Its
// problems point into the document.
func (d *Document) Project(ctx context.Context, path, app string, environ []string) ([]edge.Workload, error) {
	at := d.nearest(path)
	if at.path != path || at.raw == nil {
		return nil, d.Problem(path, "is not there", "")
	}
	if normalName(app) != app || !isName(app) {
		return nil, d.Problem(path, quote(app)+" cannot name an app", "use at most 63 lower-case letters, digits, '-' and '_', the first a letter or digit")
	}
	f := &file{problems: problems{file: d.path, below: path}, environ: environment(environ), app: app}
	root := &node{line: at.line, column: at.column}
	values, ok := f.convert(at.raw, root, 0).(map[string]any)
	if f.grave {
		return nil, f.err()
	}
	if !ok {
		return nil, d.Problem(path, "is not a mapping", "write a Compose project below it: services, and what they are")
	}
	return f.project(ctx, root, values)
}

// bounded keeps numbers out that a reader of JSON would round, or could not read.
func (f *file) bounded(value any, at *node) any {
	const maxExact = 1<<53 - 1
	size := 0.0
	switch number := value.(type) {
	case float64:
		size = math.Abs(number)
	case int:
		size = math.Abs(float64(number))
	case int64:
		size = math.Abs(float64(number))
	case uint64:
		size = float64(number)
	}
	if size > maxExact || math.IsNaN(size) {
		f.add(at, fmt.Sprintf("%s is not a number that can be kept exactly", quote(at.text)), "write one up to 9007199254740991")
		return nil
	}
	return value
}
