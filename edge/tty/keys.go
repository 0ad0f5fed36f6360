package tty

import (
	"strings"
	"unicode/utf8"
)

// Key is one that was pressed: a letter, or a name such as up, pgdown, tab or ctrl+c.
type Key string

// longest is how long a sequence for one key may be, in bytes; one that is longer is none.
const longest = 16

// sequences are what terminals send for keys that are no letters, after the escape: those of
// the VT series, and of what came after.
func sequence(text string) (Key, bool) {
	switch text {
	case "[A", "OA":
		return "up", true
	case "[B", "OB":
		return "down", true
	case "[Z":
		return "shift+tab", true
	case "[5~":
		return "pgup", true
	case "[6~":
		return "pgdown", true
	case "[H", "OH", "[1~", "[7~":
		return "home", true
	case "[F", "OF", "[4~", "[8~":
		return "end", true
	}
	return "", false
}

// Parse takes the first key off what a terminal has sent. An empty key is one without a name.
// It is not whole when more may follow; whoever has waited for it says that no more comes.
func Parse(text []byte, ended bool) (key Key, rest []byte, whole bool) {
	if len(text) == 0 {
		return "", nil, false
	}
	switch b := text[0]; {
	case b == 0x1b:
		return parseEscape(text, ended)
	case b == '\t':
		return "tab", text[1:], true
	case b == 3:
		return "ctrl+c", text[1:], true
	case b < ' ' || b == 0x7f:
		return "", text[1:], true
	}
	if !utf8.FullRune(text) && !ended {
		return "", text, false
	}
	r, size := utf8.DecodeRune(text)
	return Key(r), text[size:], true
}

// parseEscape reads a sequence, or the escape key itself.
func parseEscape(text []byte, ended bool) (Key, []byte, bool) {
	if len(text) == 1 && !ended {
		return "", text, false
	}
	if len(text) == 1 || text[1] != '[' && text[1] != 'O' {
		return "esc", text[1:], true
	}
	for i := 2; i < min(len(text), longest); i++ {
		if b := text[i]; b >= '@' && b <= '~' {
			key, _ := sequence(string(text[1 : i+1]))
			return key, text[i+1:], true
		}
	}
	if ended || len(text) >= longest {
		return "", text[min(len(text), longest):], true
	}
	return "", text, false
}

// frame writes what makes one screen of another: lines by their place, the whole when all is
// to be written.
func frame(shown, lines []string, all bool) string {
	var out strings.Builder
	for i := range max(len(shown), len(lines)) {
		before, now := at(shown, i), at(lines, i)
		if !all && before == now {
			continue
		}
		// The line is cleared first: after its last column that would take the last letter.
		out.WriteString(place(i) + "\x1b[0m\x1b[2K" + now)
	}
	return out.String()
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}
