// Command docs writes the parts of the documentation that follow from the program,
// so that they cannot drift from it. With -check it only tells whether they have.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"holdfast/edge/compose"
	"holdfast/edge/config"
)

func main() {
	check := flag.Bool("check", false, "fail if a page is not what the program says, and write nothing")
	flag.Parse()
	failed := false
	for path, text := range generated() {
		if err := update(path, text, *check); err != nil {
			fmt.Fprintf(os.Stderr, "docs: %v\n", err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// generated are the parts that follow from the program, by page.
func generated() map[string]string {
	return map[string]string{
		"docs/configuration.md": configurationTable(),
		"docs/policy.md":        composeTables(),
		"docs/cli-reference.md": verbReference(),
	}
}

// The generated part of a page stands between these lines.
const (
	begin = "<!-- generated: make docs -->\n"
	end   = "<!-- end of generated part -->\n"
)

var errDrift = errors.New("page is not what the program says; run make docs")

// update puts text between the marks of the page.
func update(path, text string, check bool) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read page: %w", err)
	}
	head, rest, found := bytes.Cut(page, []byte(begin))
	_, tail, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return fmt.Errorf("%s has no place for its generated part", path)
	}
	fresh := string(head) + begin + text + end + string(tail)
	if fresh == string(page) {
		return nil
	}
	if check {
		return fmt.Errorf("%s: %w", path, errDrift)
	}
	if err := os.WriteFile(path, []byte(fresh), 0o644); err != nil {
		return fmt.Errorf("cannot write page: %w", err)
	}
	return nil
}

// configurationTable is every key there is.
func configurationTable() string {
	var b strings.Builder
	b.WriteString("| key | default | live | what it is |\n|---|---|---|---|\n")
	for _, k := range config.Keys() {
		fallback, live := k.Default, ""
		if fallback != "" {
			fallback = "`" + fallback + "`"
		}
		if k.Live {
			live = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Key, fallback, live, k.Doc)
	}
	return b.String()
}

// composeTables are the Compose keys that are honoured, and those that are refused
// for a reason.
func composeTables() string {
	var b strings.Builder
	b.WriteString("| key | value | what it means here |\n|---|---|---|\n")
	for _, k := range compose.Keys() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.TrimPrefix(k.Path, "services.SERVICE."), k.Value, k.Meaning)
	}
	b.WriteString("\nEvery other key is refused. Some have a reason:\n\n| key | why not | instead |\n|---|---|---|\n")
	for _, r := range compose.RefusedKeys() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.Join(r.Keys, "`, `"), r.Reason, r.Remedy)
	}
	return b.String()
}
