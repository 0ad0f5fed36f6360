// Package manual writes the manual pages of section 8 from what the program says of its
// own verbs, so that they cannot drift from it: holdfast(8), and a page for each verb that
// has verbs or flags of its own.
//
// It promises pages that man reads without a complaint, whatever the texts hold: they are
// words to it, never requests of the formatter's.
//
// # Concurrency
//
// Functions only; none keeps anything.
//
// # Testing
//
// Pages with every character that means something to the formatter, and all pages of the
// program read by man with its warnings on.
package manual

import (
	"fmt"
	"strings"
	"time"

	"holdfast/edge/cli"
)

// Page is one manual page.
type Page struct {
	Name string // without section: holdfast-policy
	Text string
}

// File is the name of the page's file.
func (p Page) File() string { return p.Name + ".8" }

// Pages writes all of them.
func Pages(root cli.Verb, version string, at time.Time) []Page {
	pages := []Page{page(root, root, version, at)}
	for _, v := range root.Verbs {
		pages = append(pages, page(root, v, version, at))
	}
	return pages
}

// name is how a verb's page is called.
func name(v cli.Verb) string { return strings.ReplaceAll(v.Path, " ", "-") }

// usage is the line of a verb's arguments.
func usage(v cli.Verb) string {
	if len(v.Verbs) > 0 {
		return v.Path + " COMMAND"
	}
	return v.Usage
}

func page(root, v cli.Verb, version string, at time.Time) Page {
	var b writer
	b.line(`.TH "` + plain(strings.ToUpper(name(v))) + `" "8" "` + at.UTC().Format("2006-01-02") + `" "` + plain("holdfast "+version) + `" "holdfast"`)
	b.request("nh") // what is typed must not be broken
	b.request("SH", "NAME")
	b.line(name(v) + ` \- ` + plain(lowerFirst(v.Short)))
	b.request("SH", "SYNOPSIS")
	b.line(`\fB` + plain(usage(v)) + `\fR`)
	if v.Long != "" {
		b.request("SH", "DESCRIPTION")
		b.paragraphs(v.Long)
	}
	if len(v.Verbs) > 0 {
		b.request("SH", "COMMANDS")
	}
	for _, below := range v.Verbs {
		b.verb(below, v.Path != root.Path)
	}
	if len(v.Flags) > 0 {
		b.request("SH", "OPTIONS")
		b.flags(v.Flags)
	}
	if v.Path == root.Path {
		b.foot()
	} else {
		b.seeAlso(root)
	}
	return Page{name(v), b.String()}
}

// writer writes requests and text for the formatter.
type writer struct{ strings.Builder }

func (b *writer) request(name string, words ...string) {
	b.WriteString("." + name)
	for _, word := range words {
		b.WriteString(` "` + strings.ReplaceAll(plain(word), `"`, `\(dq`) + `"`)
	}
	b.WriteString("\n")
}

func (b *writer) line(text string) { b.WriteString(text + "\n") }

func (b *writer) paragraphs(text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			b.request("PP")
			continue
		}
		b.line(plain(line))
	}
}

// verb is an entry of a list of verbs: with a page of its own, or with all there is to say.
func (b *writer) verb(v cli.Verb, whole bool) {
	b.request("TP")
	if !whole {
		b.line(`\fB` + plain(v.Path) + `\fR`)
		b.line(plain(v.Short) + `. See \fB` + plain(name(v)) + `\fR(8).`)
		return
	}
	b.line(`\fB` + plain(usage(v)) + `\fR`)
	if v.Long == "" {
		b.line(plain(v.Short) + ".")
	} else {
		b.paragraphs(v.Long) // which says the short one too
	}
	if len(v.Flags) > 0 {
		b.request("RS")
		b.flags(v.Flags)
		b.request("RE")
	}
	for _, below := range v.Verbs {
		b.verb(below, true)
	}
}

func (b *writer) flags(flags []cli.Flag) {
	for _, f := range flags {
		b.request("TP")
		names := `\fB` + plain("--"+f.Name) + `\fR`
		if f.Short != "" {
			names = `\fB` + plain("-"+f.Short) + `\fR, ` + names
		}
		if f.Wants != "" {
			names += ` \fI` + plain(f.Wants) + `\fR`
		}
		b.line(names)
		doc := f.Doc
		if f.Default != "" {
			doc += " (default " + f.Default + ")"
		}
		b.line(plain(doc))
	}
}

// foot is what the first page has to say of the node.
func (b *writer) foot() {
	b.request("SH", "FILES")
	for _, file := range [][2]string{
		{"/etc/holdfast/config.yaml", "the configuration, with every key there is; files of conf.d beside it go over it"},
		{"/etc/holdfast/trust/root.json", "the signed root document: by it the node believes a policy"},
		{"/var/lib/holdfast", "what survives a power cut: policies, promises to the fleet, volumes, logs of instances"},
		{"/var/lib/holdfast/images", "archives of images, imported when the agent starts"},
		{"/run/holdfast/holdfast.sock", "where the agent listens"},
		{"/usr/share/holdfast/networks.conf", "a drop-in for the service where workloads want networks or ports"},
		{"/usr/share/doc/holdfast/sbom.cdx.json", "what the program is made of (CycloneDX)"},
	} {
		b.request("TP")
		b.line(`\fI` + plain(file[0]) + `\fR`)
		b.line(plain(file[1]))
	}
	b.request("SH", "EXIT STATUS")
	b.line(plain("0: done; 1: what was asked for failed; 2: wrong flags, configuration or input; 3: the agent, or what it needs, does not answer; 4: the task was refused or evicted; 5: the task missed its deadline."))
	b.request("SH", "SEE ALSO")
	b.line(`\fBcontainerd\fR(8), \fBsystemctl\fR(1), \fBjournalctl\fR(1)`)
}

func (b *writer) seeAlso(root cli.Verb) {
	b.request("SH", "SEE ALSO")
	b.line(`\fB` + plain(name(root)) + `\fR(8)`)
}

// plain has the formatter take text for what it is.
func plain(text string) string {
	text = strings.NewReplacer(`\`, `\(rs`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
	var b strings.Builder
	for _, r := range text {
		if r < 0x80 {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, `\[u%04X]`, r)
	}
	text = b.String()
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

func lowerFirst(text string) string {
	if text == "" || len(text) > 1 && text[1] >= 'A' && text[1] <= 'Z' {
		return text // an abbreviation
	}
	return strings.ToLower(text[:1]) + text[1:]
}
