package site

import (
	_ "embed" // the example

	"fmt"
	"strings"
)

// lines ends lines as the simplest editor of any system shows them.
func lines(text ...string) []byte { return []byte(strings.Join(text, "\r\n") + "\r\n") }

// page is what a laptop shows of a file that is wrong.
func (r *Refused) page() []byte {
	text := []string{
		r.File + " was not applied. The gateway runs with what it had before.",
		"Correct the file, put it back, and start the gateway again.",
		"(seen by the gateway's clock on " + r.At.Format("2006-01-02 15:04") + " UTC)",
		"",
	}
	for _, fault := range r.Faults {
		text = append(text, fault.String())
	}
	return lines(text...)
}

// note is what stands in the place of a file that was applied.
func note(f *File, p plan) []byte {
	return lines(
		"# This file was applied on "+p.At.Format("2006-01-02 15:04")+" UTC: "+f.Summary()+".",
		"# What stood here was overwritten, because it may have held secrets.",
		"# To change the gateway, put a new "+Name+" in place of this file",
		"# and start the gateway again. It has to say all, not only what is new.",
	)
}

// parts names what a file sets, without a value that may be secret.
func (f *File) parts() (all []string) {
	add := func(given bool, words string) {
		if given {
			all = append(all, words)
		}
	}
	add(f.Node.Name != "", "node "+f.Node.Name)
	add(f.Node.Name == "" && f.Line("node") > 0, "node")
	add(f.Broker.URL != "", "broker "+f.Broker.URL)
	add(f.Root.Given(), "root document")
	add(f.Policy.Given(), "policy")
	add(len(f.Network) > 0, fmt.Sprintf("network (%d)", len(f.Network)))
	add(f.Line("time") > 0, "time")
	if all == nil {
		all = []string{"nothing"}
	}
	return all
}

//go:embed example.yaml
var example string

// Example is a site file that asks for nothing, with everything it may ask for in
// comments.
func Example() string { return strings.ReplaceAll(example, "\n", "\r\n") }

// Summary says in one line what a file sets, without what may be secret.
func (f *File) Summary() string { return strings.Join(f.parts(), ", ") }
