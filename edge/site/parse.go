package site

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"holdfast/edge"
)

// Parse reads the text of a site file. beside reads a file that lies beside it; the
// error is a *Faults with everything that is wrong.
func Parse(name string, content []byte, beside func(name string) ([]byte, error)) (*File, error) {
	r := &reader{file: &File{Name: name, Digest: digestOf(content), lines: map[string]int{}}, beside: beside}
	if text, fault := plain(content); fault != nil {
		r.faults = append(r.faults, *fault)
	} else if root := r.document(text); root != nil {
		r.sections(root)
		r.check()
		r.preferSlips(text)
	}
	if len(r.faults) > 0 {
		edge.SortStable(r.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
		return nil, &Faults{File: name, All: r.faults[:min(len(r.faults), maxFaults)]}
	}
	return r.file, nil
}

// preferSlips names what cannot be seen in a line rather than what it leads to.
func (r *reader) preferSlips(text string) {
	for i, fault := range r.faults {
		for _, slip := range slips(text) {
			if slip.Line == fault.Line && !strings.Contains(slip.Detail, "quotes") { // these are named where they matter
				r.faults[i] = slip
			}
		}
	}
}

// reader gathers a file, and all that is wrong with it.
type reader struct {
	file   *File
	beside func(name string) ([]byte, error)
	faults []Fault
}

func (r *reader) wrong(line int, key, detail, remedy string) {
	r.faults = append(r.faults, Fault{line, key, detail, remedy})
}

// wrongAt is a fault of a key that stands in the file, or is missing in a section.
func (r *reader) wrongAt(key, detail, remedy string) {
	r.wrong(r.file.Line(key), key, detail, remedy)
}

// document is the root of the YAML text; nil where there is none or it is wrong.
func (r *reader) document(text string) *yaml.Node {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var root, second yaml.Node
	err := decoder.Decode(&root)
	found := slips(text)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil && len(found) > 0: // what a person can see, rather than what it leads to
		r.faults = append(r.faults, found...)
		return nil
	case err != nil:
		r.faults = append(r.faults, syntaxFault(err))
		return nil
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		r.wrong(second.Line, "", "holds more than one document", "remove the lines that are only ---")
		return nil
	}
	if root.Content[0].Kind != yaml.MappingNode && len(found) > 0 {
		r.faults = append(r.faults, found...)
		return nil
	}
	return root.Content[0]
}

var syntaxWords = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?([^'"` + "`" + `]*)`)

// syntaxFault says where the YAML library stumbled. What it quotes of the text is left
// out: it may be a part of a password.
func syntaxFault(err error) Fault {
	match := syntaxWords.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(match[1]) // absent: 0, which stands for none
	fault := Fault{Line: line, Detail: "is not YAML: " + strings.TrimSpace(match[2]), Remedy: "see that each key ends with a colon and a space, and put values with signs in quotes"}
	if strings.Contains(match[2], "anchor") {
		fault.Detail, fault.Remedy = "a value begins with * or &", "put it in quotes"
	}
	return fault
}

// fields are what may stand in a mapping, by name.
type fields map[string]func(key string, n *yaml.Node)

func (r *reader) sections(root *yaml.Node) {
	f := r.file
	r.mapping("", root, fields{
		"node": r.section(fields{
			"name": r.text(&f.Node.Name), "site": r.text(&f.Node.Site), "role": r.text(&f.Node.Role),
			"groups": r.texts(&f.Node.Groups), "labels": r.labels,
		}),
		"broker": r.section(fields{
			"url": r.text(&f.Broker.URL), "user": r.text(&f.Broker.User),
			"password": r.text(&f.Broker.Password), "token": r.text(&f.Broker.Token),
			"ca": r.content(&f.Broker.CA), "certificate": r.content(&f.Broker.Certificate), "key": r.content(&f.Broker.Key),
		}),
		"root": r.content(&f.Root), "policy": r.content(&f.Policy),
		"network": r.network,
		"time":    r.section(fields{"servers": r.texts(&f.Time.Servers), "now": r.instant(&f.Time.Now)}),
	})
}

// mapping hands each pair of a mapping to its field.
func (r *reader) mapping(prefix string, n *yaml.Node, known fields) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" { // all below it is commented out
		return
	}
	if n.Kind != yaml.MappingNode {
		r.wrong(n.Line, prefix, "is no list of keys", "write its keys on lines of their own, as key: value, two spaces further in")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && len(r.faults) < maxFaults; i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := strings.TrimPrefix(prefix+"."+name.Value, ".")
		field, found := known[name.Value]
		switch {
		case name.Kind != yaml.ScalarNode || !found:
			r.unknown(name, key, known)
		case seen[name.Value]:
			r.wrong(name.Line, key, "stands here for the second time", "keep one")
		case value.Kind == yaml.AliasNode || value.Anchor != "":
			r.wrong(value.Line, key, "begins with * or &", "put it in quotes")
		default:
			seen[name.Value] = true
			r.file.lines[key] = name.Line
			field(key, value)
		}
	}
}

func (r *reader) unknown(name *yaml.Node, key string, known fields) {
	remedy := "write one of " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
	if word := strings.ToLower(name.Value); strings.Contains(word, "wifi") || strings.Contains(word, "ssid") || strings.Contains(word, "wlan") {
		remedy = "Wi-Fi is not set up by this file: connect the gateway by cable"
	}
	if strings.ContainsAny(name.Value, typographic) {
		remedy = "type plain quotes, or none"
	}
	// What follows a colon without a space is a value that became a part of the key, and may
	// be a password.
	if end := strings.IndexAny(name.Value, ":= "); end >= 0 && name.Kind == yaml.ScalarNode {
		key, remedy = strings.TrimSuffix(key, name.Value[end:]), "write a colon and a space between a key and its value"
	}
	r.wrong(name.Line, "", "there is no key "+quote(key), remedy)
}

func (r *reader) section(known fields) func(string, *yaml.Node) {
	return func(key string, n *yaml.Node) { r.mapping(key, n, known) }
}

// maxLine is above any name, address or password; documents have a limit of their own.
const maxLine = 1024

func (r *reader) text(at *string) func(string, *yaml.Node) {
	return func(key string, n *yaml.Node) {
		if s, ok := r.scalar(key, n); ok {
			*at = s
		}
	}
}

// scalar is one value on one line. A number or a date is taken as it is written: a
// password of digits is one all the same.
func (r *reader) scalar(key string, n *yaml.Node) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		r.wrong(n.Line, key, "is not one value", "write it on the same line, after the colon and a space")
	case n.ShortTag() == "!!null" || n.Value == "":
		r.wrong(n.Line, key, "has no value", "write one, or remove the line")
	case n.Style == 0 && strings.ContainsAny(firstRune(n.Value), typographic):
		r.wrong(n.Line, key, "stands in typographic quotes", `type plain ones, ", or none`)
	case len(n.Value) > maxLine || strings.ContainsAny(n.Value, "\n\r\x00"):
		r.wrong(n.Line, key, "is not one line", fmt.Sprintf("write it on one line of at most %d letters", maxLine))
	default:
		return n.Value, true
	}
	return "", false
}

func firstRune(s string) string {
	for i := range s {
		if i > 0 {
			return s[:i]
		}
	}
	return s
}

// texts is a list, or several values with commas between them.
func (r *reader) texts(at *[]string) func(string, *yaml.Node) {
	return func(key string, n *yaml.Node) {
		items := []*yaml.Node{n}
		if n.Kind == yaml.SequenceNode {
			items = n.Content
		}
		for _, item := range items {
			if s, ok := r.scalar(key, item); ok {
				for one := range strings.SplitSeq(s, ",") {
					*at = append(*at, strings.TrimSpace(one))
				}
			}
		}
	}
}

func (r *reader) labels(key string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n.Line, key, "is no list of labels", "write each on a line of its own, as name: value")
		return
	}
	for i := 0; i+1 < len(n.Content) && len(r.faults) < maxFaults; i += 2 {
		name := key + "." + n.Content[i].Value
		r.file.lines[name] = n.Content[i].Line
		if value, ok := r.scalar(name, n.Content[i+1]); ok {
			r.file.Node.Labels = append(r.file.Node.Labels, Label{n.Content[i].Value, value})
		}
	}
}
