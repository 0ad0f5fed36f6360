package words

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable keeps control characters of foreign text out of a terminal, and what turns the
// direction of the text around it.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case turns(r), r == '\ufeff':
			return -1
		}
		return r
	}, s)
}

// turns tells whether a rune changes the direction of writing without being seen.
func turns(r rune) bool {
	return r == '\u200e' || r == '\u200f' || r == '\u061c' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// Width is how many columns a printable text takes.
func Width(s string) (columns int) {
	for _, r := range s {
		columns += RuneWidth(r)
	}
	return columns
}

// RuneWidth is how many columns a rune takes.
func RuneWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case isWide(r):
		return 2
	}
	return 1
}

// isWide tells what Unicode's EastAsianWidth calls wide or full, by its blocks; that of a
// block which is not assigned is of no matter.
func isWide(r rune) bool {
	if r < 0x1100 {
		return false
	}
	for _, block := range [...]struct{ first, last rune }{
		{0x1100, 0x115f}, {0x231a, 0x231b}, {0x2329, 0x232a}, {0x23e9, 0x23ec}, {0x25fd, 0x25fe}, {0x2614, 0x2615},
		{0x2648, 0x2653}, {0x26a1, 0x26a1}, {0x26ce, 0x26ce}, {0x2705, 0x2705}, {0x270a, 0x270b}, {0x2728, 0x2728},
		{0x274c, 0x274c}, {0x2753, 0x2757}, {0x2795, 0x2797}, {0x2b1b, 0x2b1c}, {0x2b50, 0x2b55}, {0x2e80, 0x303e},
		{0x3041, 0x4dbf}, {0x4e00, 0xa4cf}, {0xa960, 0xa97f}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe10, 0xfe19},
		{0xfe30, 0xfe6f}, {0xff01, 0xff60}, {0xffe0, 0xffe6}, {0x16fe0, 0x18dff}, {0x1aff0, 0x1b2ff}, {0x1f004, 0x1f004},
		{0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f19a}, {0x1f200, 0x1f320}, {0x1f32d, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd},
	} {
		if r >= block.first && r <= block.last {
			return true
		}
	}
	return false
}

// Cut shortens a text to so many columns; where it does so, it ends with the mark.
func Cut(s string, columns int, mark string) string {
	if Width(s) <= columns {
		return s
	}
	room := columns - Width(mark)
	if room < 0 {
		mark, room = "", columns
	}
	var kept strings.Builder
	for _, r := range s {
		if room -= RuneWidth(r); room < 0 {
			break
		}
		kept.WriteRune(r)
	}
	return kept.String() + mark
}

// Fold parts a text into lines of at most so many columns, between words where it can.
func Fold(s string, columns int) (lines []string) {
	columns = max(2, columns) // the widest letter
	for s = strings.TrimRight(s, " "); Width(s) > columns; {
		head := Cut(s, columns, "")
		if i := strings.LastIndexByte(head, ' '); i > len(head)/2 && s[len(head)] != ' ' {
			head = head[:i]
		}
		lines = append(lines, strings.TrimRight(head, " "))
		s = strings.TrimLeft(s[len(head):], " ")
	}
	return append(lines, s)
}

// Pad fills a text with blanks up to so many columns.
func Pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-Width(s)))
}

// ASCII writes what a terminal of seven bits can show; a letter that it cannot is as
// many question marks as it takes columns.
func ASCII(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return s
	}
	var text strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			text.WriteRune(r)
		} else {
			text.WriteString("??"[:RuneWidth(r)])
		}
	}
	return text.String()
}
