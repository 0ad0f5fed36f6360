package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a configuration file. The annotated example has 3 KiB.
const maxFile = 1 << 20

// file applies one file. One that is not there matters only when it is required.
func (l *loader) file(path string, required bool) {
	content, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return
	}
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	l.loaded.Files = append(l.loaded.Files, path)
	l.document(path, content)
}

// readFile reads a regular file of bounded size. Anything else could block or
// never end.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &Problem{File: path, Detail: "is not a regular file", Remedy: "name a YAML file"}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration %q: %w", path, err)
	}
	if len(content) > maxFile {
		return nil, &Problem{File: path, Detail: "is larger than 1 MiB", Remedy: "a configuration has a few KiB; is this the right file?"}
	}
	return content, nil
}

// document applies the one YAML document of a file.
func (l *loader) document(path string, content []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var root, second yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF): // nothing but comments
		return
	case err != nil:
		l.problem(syntaxProblem(path, err))
		return
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		l.problem(Problem{File: path, Line: second.Line, Detail: "holds more than one document", Remedy: "keep one; put others into conf.d"})
	}
	f := yamlFile{loader: l, path: path, base: filepath.Dir(path)}
	f.section("", root.Content[0])
}

var syntaxLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntaxProblem takes the line out of the YAML library's message.
func syntaxProblem(path string, err error) Problem {
	text := err.Error()
	match := syntaxLine.FindStringSubmatch(text)
	line, _ := strconv.Atoi(match[1]) // absent: 0, which stands for none
	return Problem{File: path, Line: line, Detail: "is not YAML: " + text[len(match[0]):]}
}

// yamlFile walks one file's nodes against the table of settings.
type yamlFile struct {
	*loader
	path string
	base string
}

func (f yamlFile) place(n *yaml.Node) Problem {
	return Problem{File: f.path, Line: n.Line, Column: n.Column}
}

// section applies a mapping whose keys stand under prefix.
func (f yamlFile) section(prefix string, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" { // all below it commented out
		return
	}
	f.pairs(prefix, n, func(key string, name, value *yaml.Node) {
		s, leaf := f.byKey[key]
		switch {
		case key == labelsKey:
			f.labels(value)
		case leaf && s.list && value.Kind == yaml.SequenceNode:
			f.list(s, value)
		case leaf:
			f.scalar(s, value)
		case f.isSection(key):
			f.section(key, value)
		default:
			f.unknown(key, f.place(name))
		}
	})
}

// pairs calls each with the mapping's pairs, and reports what is no mapping and
// what stands twice.
func (f yamlFile) pairs(prefix string, n *yaml.Node, each func(key string, name, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		f.wrong(prefix, n, "is "+kindOf(n), "write a mapping of keys to values")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content) && !f.full(); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := join(prefix, name.Value)
		if name.Kind != yaml.ScalarNode || name.ShortTag() == "!!merge" {
			f.wrong(prefix, name, "a key is "+kindOf(name), "write the keys out")
			continue
		}
		if line, twice := seen[key]; twice {
			f.wrong(key, name, fmt.Sprintf("stands here for the second time (first on line %d)", line), "keep one")
			continue
		}
		seen[key] = name.Line
		each(key, name, value)
	}
}

func (f yamlFile) scalar(s setting, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		f.wrong(s.key, n, "is "+kindOf(n), "write "+s.wants)
		return
	}
	tag := n.ShortTag()
	switch {
	case tag == "!!null":
		f.wrong(s.key, n, "has no value", "write "+s.wants+", or remove the key")
	case !slices.Contains(s.tags, tag) && slices.Contains(s.tags, "!!str"):
		f.wrong(s.key, n, quote(n.Value)+" is "+kindOf(n)+" and not text", "write "+s.wants+"; text that looks like anything else needs quotes")
	case !slices.Contains(s.tags, tag):
		f.wrong(s.key, n, quote(n.Value)+" is "+kindOf(n), "write "+s.wants)
	default:
		f.set(s.key, input{text: n.Value, base: f.base}, f.place(n))
	}
}

// list applies a list of texts as one value.
func (f yamlFile) list(s setting, n *yaml.Node) {
	texts := make([]string, 0, len(n.Content))
	for _, item := range n.Content {
		if item.Kind != yaml.ScalarNode || item.ShortTag() != "!!str" || strings.Contains(item.Value, ",") {
			f.wrong(s.key, item, "holds "+kindOf(item)+" that is no name", "write "+s.wants+"; text that looks like anything else needs quotes")
			return
		}
		texts = append(texts, item.Value)
	}
	f.set(s.key, input{text: strings.Join(texts, ","), base: f.base}, f.place(n))
}

func (f yamlFile) labels(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	f.pairs(labelsKey, n, func(key string, name, value *yaml.Node) {
		if value.Kind != yaml.ScalarNode || value.ShortTag() != "!!str" {
			f.wrong(key, value, "is "+kindOf(value)+" and not text", "put it in quotes")
			return
		}
		f.label(name.Value, value.Value, f.place(value))
	})
}

func (f yamlFile) wrong(key string, n *yaml.Node, detail, remedy string) {
	p := f.place(n)
	p.Key, p.Detail, p.Remedy = key, detail, remedy
	f.problem(p)
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// kindOf says in a person's words what a node is.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias, which a configuration may not use"
	}
	switch n.ShortTag() {
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	case "!!merge":
		return "a merge of another mapping"
	default:
		return "of type " + quote(n.Tag)
	}
}
