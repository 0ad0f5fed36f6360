package compose

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// mapping converts a mapping: first its own keys, then those of merged mappings
// (<<) that it does not set itself.
func (f *file) mapping(n *yaml.Node, at *node, depth int) any {
	if at.tag != "!!map" {
		f.foreignTag(at)
	}
	if at.fields == nil {
		at.fields = map[string]*node{}
	}
	values := map[string]any{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		child := &node{path: join(at.path, name.Value), line: name.Line, column: name.Column}
		switch first := at.fields[name.Value]; {
		case name.Kind != yaml.ScalarNode:
			child.path = at.path
			f.add(child, "a key is not plain text", "write the key out")
		case name.ShortTag() == "!!merge":
			merges = append(merges, value)
		case at.path == "" && strings.HasPrefix(name.Value, "x-"):
			// Home of anchors: it counts where it is used, not here.
		case first != nil:
			f.add(child, fmt.Sprintf("stands here for the second time (first on line %d)", first.line), "keep one")
		default:
			at.fields[name.Value] = child
			at.order = append(at.order, name.Value)
			values[name.Value] = f.convert(value, child, depth+1)
		}
	}
	for _, merged := range merges {
		f.merge(merged, at, values, depth+1)
	}
	return values
}

// merge fills in from a merged mapping, or from a list of them, what at does not
// have yet.
func (f *file) merge(n *yaml.Node, at *node, values map[string]any, depth int) {
	if n.Kind == yaml.SequenceNode && depth <= maxDepth {
		for _, one := range n.Content {
			f.merge(one, at, values, depth+1)
		}
		return
	}
	from := &node{path: at.path, line: n.Line, column: n.Column}
	merged, ok := f.convert(n, from, depth).(map[string]any)
	if !ok {
		if len(f.list) == 0 {
			f.add(from, "<< merges something that is not a mapping", "")
		}
		return
	}
	for _, name := range from.order {
		if at.fields[name] == nil {
			at.fields[name], values[name] = from.fields[name], merged[name]
			at.order = append(at.order, name)
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
