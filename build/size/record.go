package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// budget is what the design allows the stripped linux/amd64 binary.
const budget = 24 << 20

// tolerance is the growth that passes unnoticed: one part in a hundred, so that a
// patch release of Go does not stop anybody's work.
const tolerance = 100

// record is what was last accepted.
type record struct {
	bytes   int64
	modules []string
}

// limits are the problems that no record can make right.
func (m measurement) limits() []string {
	var problems []string
	if m.bytes > budget {
		problems = append(problems, fmt.Sprintf("the binary has %s, %s over its budget", mib(m.bytes), mib(m.bytes-budget)))
	}
	for _, name := range m.reflect {
		problems = append(problems, fmt.Sprintf("%s looks methods up by name, which makes the linker keep all of them", name))
	}
	return problems
}

// compare says how a measurement departs from the record.
func (r record) compare(m measurement) []string {
	var problems []string
	if m.bytes > r.bytes+r.bytes/tolerance {
		problems = append(problems, fmt.Sprintf("the binary grew from %s to %s (%+.1f %%)",
			mib(r.bytes), mib(m.bytes), 100*float64(m.bytes-r.bytes)/float64(max(r.bytes, 1))))
	}
	for _, module := range m.modules {
		if !slices.Contains(r.modules, module) {
			problems = append(problems, fmt.Sprintf("module %s is linked and not in deps.txt", module))
		}
	}
	for _, module := range r.modules {
		if !slices.Contains(m.modules, module) {
			problems = append(problems, fmt.Sprintf("module %s is in deps.txt and not linked", module))
		}
	}
	return problems
}

// print shows the measurement to a person.
func (m measurement) print(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "code\tdata\tKiB\t\t\n")
	for _, w := range m.weights {
		fmt.Fprintf(table, "%d\t%d\t%d\t\t%s\n", w.code>>10, w.data>>10, w.total()>>10, w.module)
	}
	fmt.Fprintf(table, "\t\t%d\t\t%s\n", m.shared>>10, "shared: types, strings, headers")
	table.Flush()
	fmt.Fprintf(out, "holdfast linux/amd64 stripped: %d bytes = %s of %s; %d modules\n", m.bytes, mib(m.bytes), mib(budget), len(m.modules))
}

func mib(n int64) string { return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20)) }

// writeRecord replaces both files.
func writeRecord(dir string, m measurement) error {
	var size bytes.Buffer
	fmt.Fprintf(&size, "# The stripped linux/amd64 binary in bytes, then what each module weighed in KiB.\n")
	fmt.Fprintf(&size, "# Written by make size-accept; make size fails when the binary outgrows it by 1 %%.\n")
	fmt.Fprintf(&size, "bytes %d\n", m.bytes)
	for _, w := range m.weights {
		fmt.Fprintf(&size, "%6d %s\n", w.total()>>10, w.module)
	}
	deps := "# The modules linked into the device binary. Written by make size-accept.\n" + strings.Join(m.modules, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "size.txt"), size.Bytes(), 0o644); err != nil {
		return fmt.Errorf("cannot write record: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "deps.txt"), []byte(deps), 0o644); err != nil {
		return fmt.Errorf("cannot write record: %w", err)
	}
	return nil
}

// readRecord reads back what writeRecord wrote.
func readRecord(dir string) (record, error) {
	var r record
	err := eachLine(filepath.Join(dir, "size.txt"), func(line string) error {
		text, isTotal := strings.CutPrefix(line, "bytes ")
		if !isTotal {
			return nil
		}
		var err error
		r.bytes, err = strconv.ParseInt(text, 10, 64)
		return err
	})
	if err != nil {
		return record{}, err
	}
	if r.bytes <= 0 {
		return record{}, fmt.Errorf("cannot use record %q: it names no size", filepath.Join(dir, "size.txt"))
	}
	err = eachLine(filepath.Join(dir, "deps.txt"), func(line string) error {
		r.modules = append(r.modules, line)
		return nil
	})
	if err != nil {
		return record{}, err
	}
	return r, nil
}

// eachLine calls do with every line that is neither empty nor a comment.
func eachLine(name string, do func(string) error) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("cannot read record: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := do(line); err != nil {
			return fmt.Errorf("cannot read record %q: %w", name, err)
		}
	}
	return nil
}
