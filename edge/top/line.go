package top

import (
	"fmt"
	"strings"

	"holdfast/edge/words"
)

// Style is how a piece of a line looks.
type Style uint8

// The styles.
const (
	Plain Style = iota
	Strong
	Faint
	Good
	Careful
	Bad
	Turned // dark on light
)

// codes are the styles as ECMA-48 has them.
var codes = [...]string{Strong: "1", Faint: "2", Good: "32", Careful: "33", Bad: "31;1", Turned: "7"}

// Look is what the terminal can show.
type Look struct {
	Colour bool
	ASCII  bool
}

// glyphs are the characters that are more than letters.
type glyphs struct {
	full, rest, more, mark, good, bad, degree string
	bars                                      []string
}

func (l Look) glyphs() glyphs {
	if l.ASCII {
		return glyphs{full: "#", rest: ".", more: "~", mark: ">", good: "+", bad: "!", degree: "", bars: strings.Split("_.-=+*#@", "")}
	}
	return glyphs{full: "█", rest: "░", more: "…", mark: "▶", good: "●", bad: "✗", degree: "°", bars: strings.Split("▁▂▃▄▅▆▇█", "")}
}

type span struct {
	style Style
	text  string
}

// line is one line of the screen.
type line []span

// add appends text in a style; what the arguments hold is made printable.
func (l *line) add(style Style, format string, args ...any) {
	*l = append(*l, span{style, words.Printable(fmt.Sprintf(format, args...))})
}

// column appends text that takes just so many columns.
func (l *line) column(style Style, columns int, mark, text string) {
	*l = append(*l, span{style, words.Pad(words.Cut(words.Printable(text), columns, mark), columns)})
}

func (l line) width() (columns int) {
	for _, s := range l {
		columns += words.Width(s.text)
	}
	return columns
}

func textLine(style Style, format string, args ...any) line {
	var l line
	l.add(style, format, args...)
	return l
}

// render writes the line, cut to so many columns.
func (l line) render(look Look, columns int, to *strings.Builder) {
	mark := look.glyphs().more
	if l.width() <= columns {
		mark = ""
	}
	left := columns - words.Width(mark)
	for _, s := range l {
		text := s.text
		if look.ASCII {
			text = words.ASCII(text)
		}
		text = words.Cut(text, max(0, left), "")
		left -= words.Width(text)
		paint(look, s.style, text, to)
		if words.Width(s.text) > words.Width(text) {
			break
		}
	}
	if columns > 0 {
		to.WriteString(mark)
	}
}

func paint(look Look, style Style, text string, to *strings.Builder) {
	if !look.Colour || style == Plain || text == "" {
		to.WriteString(text)
		return
	}
	fmt.Fprintf(to, "\x1b[%sm%s\x1b[0m", codes[style], text)
}

// bar is a share as so many characters.
func (g glyphs) bar(share float64, columns int) string {
	full := int(min(max(share, 0), 1)*float64(columns) + 0.5)
	return strings.Repeat(g.full, full) + strings.Repeat(g.rest, columns-full)
}

// spark draws the latest values, each a character, against the highest
// there can be; 0: the highest there is. A negative one is a blank.
func (g glyphs) spark(values []float64, columns int, most float64) string {
	values = values[max(0, len(values)-columns):]
	if most == 0 {
		for _, v := range values {
			most = max(most, v)
		}
	}
	var text strings.Builder
	for _, v := range values {
		if v < 0 {
			text.WriteByte(' ')
			continue
		}
		step := 0
		if most > 0 {
			step = int(min(max(v/most, 0), 1) * float64(len(g.bars)-1))
		}
		text.WriteString(g.bars[step])
	}
	return text.String()
}
