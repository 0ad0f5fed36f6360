package site

import (
	"fmt"
	"strings"
	"time"

	"holdfast/edge/words"
)

// Standing is what the console says of a node.
type Standing struct {
	Node, Version string
	Key           string   // public, for who seals secrets; empty: none could be made
	Addresses     []string // interface and address
	Governs       string   // what decides what runs here
	Link          string   // how the node stands with its fleet; empty: none is configured
	Report        Report
}

// The screen that the text is made for: the smallest there is, less the line on which a
// name is asked for, and the one before it.
const (
	columns = 79
	rows    = 22
	// most of what there may be many of.
	mostAddresses = 6
	mostFaults    = 4
)

// Console is the text for the node's console, in ASCII.
func Console(s Standing) string {
	text := []string{
		fmt.Sprintf("holdfast %s   node %s", s.Version, s.Node),
		"governed by  " + s.Governs,
	}
	if s.Link != "" {
		text = append(text, "fleet        "+s.Link)
	}
	if s.Key != "" {
		text = append(text, "node key     "+s.Key)
	}
	text = append(text, addresses(s.Addresses)...)
	text = append(append(text, ""), advice(s.Report)...)
	for i, line := range text {
		text[i] = words.Cut(strings.ReplaceAll(words.ASCII(words.Printable(line)), `\`, "/"), columns, "...") // agetty reads backslashes
	}
	return strings.Join(text[:min(len(text), rows)], "\n") + "\n"
}

func addresses(all []string) (text []string) {
	if len(all) == 0 {
		return []string{"network      no address; is the cable in?"}
	}
	for i, address := range all[:min(len(all), mostAddresses)] {
		head := "             "
		if i == 0 {
			head = "network      "
		}
		text = append(text, head+address)
	}
	if more := len(all) - mostAddresses; more > 0 {
		text = append(text, fmt.Sprintf("             and %d more", more))
	}
	return text
}

// advice says what became of a site file, or how to make one.
func advice(r Report) []string {
	switch {
	case r.Refused != nil:
		text := []string{r.Refused.File + " is WRONG and was not applied:"}
		for _, fault := range r.Refused.Faults[:min(len(r.Refused.Faults), mostFaults)] {
			folded := words.Fold("  "+fault.String(), columns)
			text = append(text, folded[:min(len(folded), 2)]...)
		}
		return append(text,
			"All of it stands in "+ErrorsName+" beside the file.",
			"Put the disk into a laptop, correct the file, start this machine again.")
	case r.Applied != nil && r.Unkept:
		return []string{
			"THIS MACHINE KEEPS NOTHING: its data partition cannot be used.",
			r.Applied.File + " was applied, and stays for the next start to find.",
		}
	case r.Applied != nil:
		return []string{fmt.Sprintf("set up by %s on %s UTC", r.Applied.File, r.Applied.At.Format(time.DateTime))}
	}
	return []string{
		"Nobody has set this gateway up yet. To make it yours: put its disk or card into",
		"a laptop, write " + Name + " on the partition HOLDFAST, start it again.",
		"At the least, with your own values:",
		"    node: {name: line-3-gw, site: plant-7}",
		"    broker: {url: \"tls://broker.example.com:8883\", token: \"...\"}",
		"    root: root.json           (your fleet's root document, beside the file)",
		"The file " + Name + " there says what else there is.",
	}
}
