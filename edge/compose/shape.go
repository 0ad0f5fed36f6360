package compose

import (
	"math"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// shape is what a value has to be, as the Compose schema has it. A text may stand
// for a number or a truth because variables come as texts.
type shape uint8

const (
	anything     shape = iota // checked where it is used
	text                      // text
	number                    // a number, or text that compose-go turns into one
	whole                     // a whole number, or such text
	plainWhole                // a whole number that is no text
	truth                     // true or false
	texts                     // a list of texts
	textOrTexts               // one, or a list
	words                     // a command: text, a list of texts, or nothing
	variables                 // a mapping of names to plain values, or a list of NAME=value
	mounts                    // a list of texts and of mappings
	confidences               // the same, of secrets
	memberships               // a list of texts, or a mapping of names to nothing
	portList                  // a list of texts and of mappings; numbers are told apart
	dependencies              // a list of texts, or a mapping of mappings
)

// String is what a person is told to write.
func (s shape) String() string {
	return [...]string{
		anything: "a value", text: "text; what looks like anything else needs quotes", number: "a finite number", whole: "a whole number", plainWhole: "a whole number, which a variable cannot give",
		truth: "true or false", texts: "a list such as [a, b]", textOrTexts: "text, or a list of texts",
		words: "text, or a list of texts", variables: "NAME: value below it, or a list of NAME=value",
		mounts: "a list of SOURCE:TARGET or SOURCE:TARGET:ro", confidences: "a list of names", memberships: "a list of names",
		portList:     "a list of NODE:INSTANCE such as 8080:80",
		dependencies: "a list of services, or SERVICE: {condition: …} below it",
	}[s]
}

func (s shape) fits(n *node) bool {
	switch s {
	case text:
		return isText(n)
	case number:
		return isText(n) && !isNoNumber(n.text) || isFinite(n)
	case whole:
		return isText(n) || n.tag == "!!int"
	case plainWhole:
		return n.tag == "!!int"
	case truth:
		return n.kind == yaml.ScalarNode && (n.text == "true" || n.text == "false")
	case texts:
		return areTexts(n)
	case textOrTexts:
		return isText(n) || areTexts(n)
	case words:
		return isText(n) || areTexts(n) || n.tag == "!!null"
	case variables:
		return areTexts(n) || n.kind == yaml.MappingNode && arePlain(n)
	case memberships:
		return areTexts(n) || n.kind == yaml.MappingNode && areNothing(n)
	case dependencies:
		return areTexts(n) || n.kind == yaml.MappingNode
	case portList:
		return arePorts(n)
	case mounts, confidences:
		return n.kind == yaml.SequenceNode && !slices.ContainsFunc(n.items, func(item *node) bool {
			return !isText(item) && item.kind != yaml.MappingNode
		})
	}
	return true
}

func isText(n *node) bool {
	return n.kind == yaml.ScalarNode && (n.tag == "!!str" || n.tag == "!!timestamp")
}

// isNoNumber finds texts that are read as numbers and are none: NaN and Inf.
func isNoNumber(text string) bool {
	v, err := strconv.ParseFloat(text, 64)
	return err == nil && (math.IsNaN(v) || math.IsInf(v, 0))
}

func isFinite(n *node) bool {
	switch n.tag {
	case "!!int":
		return true
	case "!!float":
		_, err := strconv.ParseFloat(n.text, 64) // fails for .inf and .nan
		return err == nil
	}
	return false
}

func areTexts(n *node) bool {
	return n.kind == yaml.SequenceNode && !slices.ContainsFunc(n.items, func(item *node) bool { return item.kind != yaml.ScalarNode || item.tag != "!!str" })
}

func areNothing(n *node) bool {
	return !slices.ContainsFunc(n.order, func(name string) bool { return n.fields[name].tag != "!!null" })
}

func arePlain(n *node) bool {
	for _, name := range n.order {
		if n.fields[name].kind != yaml.ScalarNode {
			return false
		}
	}
	return true
}

// kindOf says in a person's words what a node is.
func kindOf(n *node) string {
	switch n.kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.tag {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "the number " + quote(n.text)
	case "!!bool":
		return "true or false"
	default:
		return quote(n.text)
	}
}
