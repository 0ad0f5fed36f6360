package oip

import (
	"encoding/json"
	"slices"
	"strconv"
)

// Notes are parameters for an answer, written down in order. The zero value is
// empty.
type Notes struct {
	names []string
	text  []byte // the members as JSON, with commas between them
}

// Text notes a string, which must be UTF-8.
func (n *Notes) Text(name, value string) {
	n.text = appendText(n.begin(name), value)
}

// Int notes a whole number.
func (n *Notes) Int(name string, value int64) {
	n.text = strconv.AppendInt(n.begin(name), value, 10)
}

// Bool notes what is true or false.
func (n *Notes) Bool(name string, value bool) {
	n.text = strconv.AppendBool(n.begin(name), value)
}

func (n *Notes) begin(name string) []byte {
	if n.names == nil { // room for what the node has to say of a task
		n.names, n.text = make([]string, 0, 8), make([]byte, 0, 192)
	}
	n.names = append(n.names, name)
	if len(n.text) > 0 {
		n.text = append(n.text, ',')
	}
	return append(appendText(n.text, name), ':')
}

func (n *Notes) has(name []byte) bool {
	return slices.ContainsFunc(n.names, func(own string) bool { return own == string(name) })
}

// appendText writes a JSON string.
func appendText(to []byte, text string) []byte {
	for i := range len(text) {
		if b := text[i]; b < ' ' || b > '~' || b == '"' || b == '\\' {
			quoted, _ := json.Marshal(text) // a string always encodes
			return append(to, quoted...)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}
