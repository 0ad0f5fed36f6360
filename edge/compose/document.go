package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a document after its aliases are expanded.
const (
	// maxNodes is some hundred services; an alias bomb is past it at once.
	maxNodes = 20_000
	// maxDepth is five times what the deepest honoured key needs.
	maxDepth = 40
)

// node is where a value stands in the file.
type node struct {
	path         string // dotted
	line, column int    // of the key, or of the value in a list
	kind         yaml.Kind
	tag          string
	text         string // of a scalar, after interpolation
	order        []string
	fields       map[string]*node
	items        []*node
	raw          *yaml.Node // what it was made of
}

// at follows keys down. What is not there is nil, and stays nil further down.
func (n *node) at(keys ...string) *node {
	for _, key := range keys {
		if n == nil {
			return nil
		}
		n = n.fields[key]
	}
	return n
}

// near is at, or the deepest node on the way there: where to point at when
// something is missing.
func (n *node) near(keys ...string) *node {
	for _, key := range keys {
		next := n.fields[key]
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// parse turns content into values and the places they stand at.
func (f *file) parse(content []byte) (*node, map[string]any) {
	top := &node{line: 1, column: 1}
	if len(content) > MaxFile {
		f.add(&node{}, "is larger than 1 MiB", "such a file has a few KiB; is this the right one?")
		return nil, nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var root, second yaml.Node
	if err := decoder.Decode(&root); errors.Is(err, io.EOF) {
		f.add(top, "the file is empty", "write "+f.head())
		return nil, nil
	} else if err != nil {
		f.syntax(err)
		return nil, nil
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		f.add(&node{line: second.Line, column: 1}, "a second document", "keep one")
		return nil, nil
	}
	value := f.convert(root.Content[0], top, 0)
	tree, ok := value.(map[string]any)
	if !ok && len(f.list) == 0 {
		f.add(top, "is not a mapping", "write "+f.head()+" at the top")
	}
	return top, tree
}

var syntaxLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntax takes the line out of the YAML library's message.
func (f *file) syntax(err error) {
	match := syntaxLine.FindStringSubmatch(err.Error())
	at := &node{column: 1}
	at.line, _ = strconv.Atoi(match[1]) // absent: 0, which stands for none
	f.add(at, "is not YAML: "+err.Error()[len(match[0]):], "")
}

// head is what a file begins with.
func (f *file) head() string {
	if f.verbatim {
		return "apiVersion, kind and metadata"
	}
	return "services"
}

// convert returns the value of n and notes in at where its parts stand. Aliases
// are expanded, each time into a value of its own.
func (f *file) convert(n *yaml.Node, at *node, depth int) any {
	if f.visited++; f.visited == maxNodes {
		f.add(at, fmt.Sprintf("expands to more than %d values", maxNodes), "use fewer aliases")
	}
	if f.visited >= maxNodes {
		return nil
	}
	if depth > maxDepth {
		f.add(at, fmt.Sprintf("is nested deeper than %d levels", maxDepth), "flatten it")
		return nil
	}
	at.kind, at.tag, at.raw = n.Kind, n.ShortTag(), n
	switch n.Kind {
	case yaml.AliasNode:
		return f.alias(n.Alias, at, depth+1)
	case yaml.MappingNode:
		return f.mapping(n, at, depth)
	case yaml.SequenceNode:
		return f.sequence(n, at, depth)
	default:
		return f.scalar(n, at)
	}
}

// alias converts what an alias stands for, unless the alias stands inside it.
func (f *file) alias(target *yaml.Node, at *node, depth int) any {
	if slices.Contains(f.open, target) {
		f.add(at, "the alias stands inside what it stands for", "remove it")
		return nil
	}
	f.open = append(f.open, target)
	defer func() { f.open = f.open[:len(f.open)-1] }()
	return f.convert(target, at, depth)
}

func (f *file) sequence(n *yaml.Node, at *node, depth int) any {
	if at.tag != "!!seq" {
		f.foreignTag(at)
	}
	items := make([]any, len(n.Content))
	for i, item := range n.Content {
		child := &node{path: fmt.Sprintf("%s[%d]", at.path, i), line: item.Line, column: item.Column}
		at.items = append(at.items, child)
		items[i] = f.convert(item, child, depth+1)
	}
	return items
}

// scalar gives text, numbers, truth and nothing; other kinds YAML knows, such as
// dates, stay the text they are.
func (f *file) scalar(n *yaml.Node, at *node) any {
	at.text = n.Value
	switch at.tag {
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		var value any
		if err := n.Decode(&value); err != nil {
			f.add(at, quote(n.Value)+" is not a value of type "+at.tag, "")
			return nil
		}
		if f.verbatim {
			return f.bounded(value, at)
		}
		return portable(value, n.Value)
	case "!!str", "!!timestamp":
		if f.verbatim {
			return n.Value
		}
		at.text = f.interpolate(n.Value, at)
		return at.text
	default:
		f.foreignTag(at)
		return nil
	}
}

// portable keeps what does not fit an int as text. Compose takes both, and on a
// 32-bit gateway it would drop the number without a word.
func portable(value any, text string) any {
	switch value.(type) {
	case int64, uint64:
		return strings.ReplaceAll(text, "_", "")
	}
	return value
}

func (f *file) foreignTag(at *node) {
	f.add(at, "the tag "+quote(at.tag)+" is not honoured", "remove it")
}
