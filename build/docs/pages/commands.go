package pages

import "regexp"

var block = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```[ \t]*$")

// Blocks are the fenced parts of a page in one language, in their order.
func Blocks(page, language string) (blocks []string) {
	for _, match := range block.FindAllStringSubmatch(page, -1) {
		if match[1] == language {
			blocks = append(blocks, match[2])
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
