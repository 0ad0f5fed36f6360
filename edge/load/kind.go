package load

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/scheduler/sim"
)

// Kind is one kind of task: a model asked in one class.
type Kind struct {
	Model string
	// Rows is how many rows of input a task brings, where the model takes any number.
	Rows  int
	Class edge.Class
	// A deadline lies evenly between the two after the scheduled instant.
	Shortest, Longest time.Duration
	Share             float64 // its part of all tasks
	// Work is the CPU time a task takes in the middle, for models that use what they are
	// asked to (build/sample/burner); 0 for all others, which are measured.
	Work time.Duration
}

// String writes the kind as ParseKind reads it.
func (k Kind) String() string {
	text := fmt.Sprintf("%s=%v:%v-%v:%v", k.name(), k.Class, k.Shortest, k.Longest, k.Share)
	if k.Work > 0 {
		text += ":" + k.Work.String()
	}
	return text
}

func (k Kind) name() string {
	if k.Rows > 1 {
		return fmt.Sprintf("%s*%d", k.Model, k.Rows)
	}
	return k.Model
}

// maxRows is above what any model server of this repository takes in one request.
const maxRows = 1 << 16

// ParseKind reads MODEL[*ROWS]=CLASS:DEADLINE[-DEADLINE]:SHARE[:WORK], for example
// digits*64=batch:1s-5s:0.15 or u19=urgent:50ms-100ms:0.25:19ms.
func ParseKind(text string) (Kind, error) {
	wrong := func(problem string) (Kind, error) {
		return Kind{}, edge.WithHint(fmt.Errorf("cannot read kind of task %q: %s: %w", text, problem, edge.ErrInvalid),
			"write MODEL[*ROWS]=CLASS:DEADLINE[-DEADLINE]:SHARE[:WORK], such as digits*8=urgent:50ms-100ms:0.5")
	}
	name, rest, found := strings.Cut(text, "=")
	parts := strings.Split(rest, ":")
	if !found || len(parts) < 3 || len(parts) > 4 {
		return wrong("it has not the parts it needs")
	}
	k := Kind{Rows: 1}
	var err error
	model, rows, many := strings.Cut(name, "*")
	if k.Model = model; model == "" {
		return wrong("it names no model")
	}
	if many {
		if k.Rows, err = strconv.Atoi(rows); err != nil || k.Rows < 1 || k.Rows > maxRows {
			return wrong(fmt.Sprintf("rows must be a number from 1 to %d", maxRows))
		}
	}
	if k.Class, err = edge.ParseClass(parts[0]); err != nil {
		return wrong(err.Error())
	}
	if k.Shortest, k.Longest, err = parseSpan(parts[1]); err != nil {
		return wrong(err.Error())
	}
	if k.Share, err = strconv.ParseFloat(parts[2], 64); err != nil || !(k.Share > 0 && k.Share <= 1e6) {
		return wrong("its share must be a number above 0")
	}
	if len(parts) == 4 {
		if k.Work, err = time.ParseDuration(parts[3]); err != nil || k.Work <= 0 {
			return wrong("its work must be a duration above 0")
		}
	}
	return k, nil
}

// longestDeadline is the longest an agent takes.
const longestDeadline = 24 * time.Hour

func parseSpan(text string) (shortest, longest time.Duration, err error) {
	first, second, span := strings.Cut(text, "-")
	if shortest, err = time.ParseDuration(first); err != nil {
		return 0, 0, fmt.Errorf("its deadline %q is no duration", first)
	}
	longest = shortest
	if span {
		if longest, err = time.ParseDuration(second); err != nil {
			return 0, 0, fmt.Errorf("its deadline %q is no duration", second)
		}
	}
	if shortest <= 0 || longest < shortest || longest > longestDeadline {
		return 0, 0, fmt.Errorf("its deadline %q must lie above 0 and up to %v, the shorter one first", text, longestDeadline)
	}
	return shortest, longest, nil
}

// ReadMix reads kinds, one a line; empty lines and what follows a # do not count.
func ReadMix(from io.Reader) ([]Kind, error) {
	var kinds []Kind
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		k, err := ParseKind(line)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, k)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read mix: %w: %w", edge.ErrInvalid, err)
	}
	if len(kinds) == 0 {
		return nil, fmt.Errorf("cannot read mix: it names no kind of task: %w", edge.ErrInvalid)
	}
	return kinds, nil
}

// Servers is the mix of the simulator's figures, for burners of these names.
func Servers() []Kind {
	var kinds []Kind
	for _, k := range sim.Servers() {
		kinds = append(kinds, Kind{
			Model: k.Model, Rows: 1, Class: k.Class, Shortest: k.Shortest, Longest: k.Longest, Share: k.Weight, Work: k.Work,
		})
	}
	return kinds
}

// Digits is a mix for the sample model server: the cheap model where it is urgent, and
// more pictures at once where there is time.
func Digits() []Kind {
	const ms = time.Millisecond
	return []Kind{
		{Model: "digits-lite", Rows: 32, Class: edge.Urgent, Share: 0.5, Shortest: 25 * ms, Longest: 50 * ms},
		{Model: "digits", Rows: 16, Class: edge.Normal, Share: 0.35, Shortest: 100 * ms, Longest: 300 * ms},
		{Model: "digits", Rows: 64, Class: edge.Batch, Share: 0.15, Shortest: 1000 * ms, Longest: 5000 * ms},
	}
}

// Suits is the mix that fits what a node serves; none, when none does.
func Suits(models []string) []Kind {
	served := map[string]bool{}
	for _, m := range models {
		served[m] = true
	}
	for _, mix := range [][]Kind{Servers(), Digits()} {
		all := true
		for _, k := range mix {
			all = all && served[k.Model]
		}
		if all {
			return mix
		}
	}
	return nil
}
