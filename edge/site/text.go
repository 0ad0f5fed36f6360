package site

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// plain gives the text of a file as editors on any system write it: UTF-8 or UTF-16,
// with or without the mark of byte order, with line ends of any kind.
func plain(content []byte) (string, *Fault) {
	text := string(content)
	switch {
	case bytes.HasPrefix(content, []byte{0xff, 0xfe}):
		text = wide(content[2:], binary.LittleEndian)
	case bytes.HasPrefix(content, []byte{0xfe, 0xff}):
		text = wide(content[2:], binary.BigEndian)
	}
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	for i, line := range strings.Split(text, "\n") {
		if !utf8.ValidString(line) {
			return "", &Fault{Line: i + 1, Detail: "holds letters that are not UTF-8", Remedy: `save the file with the encoding "UTF-8"`}
		}
		if strings.ContainsRune(line, 0) {
			return "", &Fault{Line: i + 1, Detail: "holds bytes that are no text", Remedy: `save the file as plain text with the encoding "UTF-8"`}
		}
	}
	return text, nil
}

// wide decodes UTF-16; half a letter at the end is left out.
func wide(content []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(content)/2)
	for i := range units {
		units[i] = order.Uint16(content[2*i:])
	}
	return string(utf16.Decode(units))
}

// silent tells whether a text asks for nothing: it has only comments and empty lines.
func silent(text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line != "---" && line != "..." {
			return false
		}
	}
	return true
}

// slips names what word processors and keyboards put into a file unseen, line by line,
// outside of comments.
func slips(text string) (found []Fault) {
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, " #")
		at := Fault{Line: i + 1}
		switch indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; {
		case strings.HasPrefix(line[len(indent):], "#"):
			continue
		case strings.ContainsRune(indent, '\t'):
			at.Detail, at.Remedy = "begins with a tab", "use spaces before a key, two for each level"
		case strings.ContainsRune(line, '\u00a0'):
			at.Detail, at.Remedy = "holds a blank that is no space (U+00A0)", "delete it and type a space"
		case strings.ContainsRune(line, '：'):
			at.Detail, at.Remedy = "holds a wide colon", `type ":" and a space`
		case strings.ContainsAny(line, typographic):
			at.Detail, at.Remedy = "holds typographic quotes", `type plain ones: "`
		default:
			continue
		}
		found = append(found, at)
	}
	return found
}

// typographic are the quotes that word processors make of plain ones.
const typographic = "“”„‟‘’‚‛«»"
