package pages

import (
	"regexp"
	"strings"
)

// fenced is a part of a page between two lines of three backquotes.
type fenced struct{ language, text string }

// split takes a page apart into what is said and what is shown.
func split(page string) (prose string, shown []fenced) {
	var said strings.Builder
	inside := false
	for line := range strings.Lines(page) {
		language, mark := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case mark && !inside:
			shown = append(shown, fenced{language: language})
			inside = true
		case mark:
			inside = false
		case inside:
			shown[len(shown)-1].text += line
		default:
			said.WriteString(line)
		}
	}
	return said.String(), shown
}

// Blocks are the fenced parts of a page in one language, in their order.
func Blocks(page, language string) (blocks []string) {
	_, shown := split(page)
	for _, part := range shown {
		if part.language == language {
			blocks = append(blocks, part.text)
		}
	}
	return blocks
}

var testName = regexp.MustCompile("`(Test[A-Z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*)`")

// Tests are the names of tests that a page relies on.
func Tests(page string) (names []string) {
	for _, match := range testName.FindAllStringSubmatch(page, -1) {
		names = append(names, match[1])
	}
	return names
}
