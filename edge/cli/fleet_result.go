package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// printResult writes what a verb brought back: texts as they are but for control
// characters, everything else as JSON.
func (d *door) printResult(result json.RawMessage) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(result, &fields) != nil {
		fmt.Fprintf(d.Stdout, "  %s\n", printable(string(result)))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var text string
		if json.Unmarshal(fields[name], &text) != nil {
			fmt.Fprintf(d.Stdout, "  %s: %s\n", printable(name), printable(string(fields[name])))
			continue
		}
		lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
		if len(lines) == 1 {
			fmt.Fprintf(d.Stdout, "  %s: %s\n", printable(name), printable(lines[0]))
			continue
		}
		fmt.Fprintf(d.Stdout, "  %s:\n", printable(name))
		for _, line := range lines {
			fmt.Fprintf(d.Stdout, "    %s\n", printable(line))
		}
	}
}
