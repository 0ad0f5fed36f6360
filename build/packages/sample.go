package main

import (
	"fmt"
	"strings"

	"holdfast/edge/config"
)

// sampleHead stands above the keys of the configuration file that is installed.
const sampleHead = `# The configuration of holdfast on this node. Every key there is stands here with the value
# it has when it is not set. To set one, take away the first "#" of its line and of the
# lines it stands below, and have it checked: holdfast config check. Then
# systemctl reload holdfast, or restart it: holdfast status says if that is needed.
# Files of /etc/holdfast/conf.d that end in .yaml go over this one, and stay yours.
`

// sampleConfig writes a configuration file in which every key there is is named and none
// is set.
func sampleConfig(keys []config.Key) string {
	var b strings.Builder
	b.WriteString(sampleHead)
	var above []string
	for _, k := range keys {
		path := strings.Split(k.Key, ".")
		same := shared(above, path)
		if same == 0 {
			b.WriteString("\n")
		}
		for i := same; i < len(path)-1; i++ {
			fmt.Fprintf(&b, "#%s%s:\n", indent(i), path[i])
		}
		deep := indent(len(path) - 1)
		words := k.Doc
		if k.Default == "" {
			words += ". Write " + k.Wants
		}
		for _, line := range wrapped(words, 96-len(deep)) {
			fmt.Fprintf(&b, "#%s# %s\n", deep, line)
		}
		fmt.Fprintf(&b, "#%s%s\n", deep, strings.TrimSpace(path[len(path)-1]+": "+k.Default))
		above = path
	}
	return b.String()
}

func indent(deep int) string { return strings.Repeat("  ", deep) }

// shared counts the names above a key that the key before it stands below too.
func shared(before, path []string) int {
	n := 0
	for n < len(path)-1 && n < len(before)-1 && before[n] == path[n] {
		n++
	}
	return n
}

// wrapped breaks words into lines of at most so many characters, but for longer words.
func wrapped(words string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(words) {
		switch {
		case line == "":
			line = word
		case len([]rune(line))+1+len([]rune(word)) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}
