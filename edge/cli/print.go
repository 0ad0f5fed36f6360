package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"holdfast/edge/words"
)

// printer writes results as a table for people or as JSON for programs.
type printer struct {
	out    io.Writer
	asJSON bool
}

// JSON writes v indented.
func (p printer) JSON(v any) error {
	encoder := json.NewEncoder(p.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// Table writes a head and its rows in columns; a cell cannot break the lines
// whatever it holds.
func (p printer) Table(head []string, rows [][]string) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// printable keeps control characters of foreign text out of a terminal, and shows that there
// is none.
func printable(s string) string { return cmp.Or(words.Printable(s), "-") }

// ago is how long before now an instant lies, as coarse as a person needs it.
func ago(at, now time.Time) string { return words.Ago(at, now) }

// coarse writes a duration with two significant units at the most.
func coarse(d time.Duration) string { return words.Span(d) }

// size writes a number of bytes in the largest binary unit that keeps it above 1.
func size(bytes uint64) string { return words.Size(bytes) }

// short is the part of a digest that people compare.
func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(12, len(digest))]
}
