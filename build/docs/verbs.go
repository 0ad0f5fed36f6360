package main

import (
	"fmt"
	"strings"

	"holdfast/edge/cli"
)

// verbReference is every verb with its flags.
func verbReference() string {
	var b strings.Builder
	root := cli.Describe()
	b.WriteString("Every verb takes:\n\n")
	flagTable(&b, root.Flags)
	for _, verb := range root.Verbs {
		writeVerb(&b, verb, "##")
	}
	return b.String()
}

// writeVerb is a verb, and what is below it.
func writeVerb(b *strings.Builder, v cli.Verb, level string) {
	fmt.Fprintf(b, "\n%s %s\n\n%s.\n\n    %s\n", level, v.Path, cell(v.Short), v.Usage)
	if more := strings.TrimLeft(strings.TrimPrefix(v.Long, v.Short), ". \n"); more != "" {
		fmt.Fprintf(b, "\n%s\n", indented(more))
	}
	if len(v.Flags) > 0 {
		b.WriteString("\n")
		flagTable(b, v.Flags)
	}
	for _, below := range v.Verbs {
		writeVerb(b, below, "###")
	}
}

func flagTable(b *strings.Builder, flags []cli.Flag) {
	b.WriteString("| flag | default | |\n|---|---|---|\n")
	for _, f := range flags {
		name := "`--" + strings.TrimSpace(f.Name+" "+f.Wants) + "`"
		if f.Short != "" {
			name = "`-" + f.Short + "`, " + name
		}
		fallback := f.Default
		if fallback != "" {
			fallback = "`" + fallback + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", name, fallback, cell(f.Doc))
	}
}

// cell is text that does not end a cell of a table, nor begin a tag.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "\n", " ").Replace(text)
}

// indented keeps a text as it is written.
func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight("    "+line, " \n") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}
