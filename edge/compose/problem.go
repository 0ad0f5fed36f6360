package compose

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/edge"
)

// Problem is one defect of a Compose file.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"` // the path of the key, dotted
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// Error says where, which key, what is wrong and what to do.
func (p *Problem) Error() string {
	text := p.File
	if p.Line > 0 {
		text += fmt.Sprintf(":%d:%d", p.Line, p.Column)
	}
	if p.Key != "" {
		text += ": " + p.Key
	}
	text += ": " + p.Detail
	if p.Remedy != "" {
		text += "; " + p.Remedy
	}
	return text
}

// Unwrap makes every problem edge.ErrInvalid.
func (p *Problem) Unwrap() error { return edge.ErrInvalid }

// Problems lists the defects an error of Load holds, in the order they stand.
func Problems(err error) []*Problem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Problem
		for _, one := range joined.Unwrap() {
			all = append(all, Problems(one)...)
		}
		return all
	}
	var problem *Problem
	if errors.As(err, &problem) {
		return []*Problem{problem}
	}
	return nil
}

// maxProblems bounds what one load reports: nobody reads more at once, and a
// foreign file must not make a report of its own size.
const maxProblems = 50

// problems gathers the defects of one file.
type problems struct {
	file  string
	below string // where in the file the project stands, dotted; empty for all of it
	list  []*Problem
	// grave: one of them leaves nothing that could be read on.
	grave bool
	// settled are those of former steps, whose places have nothing more to complain of.
	settled int
}

// add reports what keeps the next step from being taken.
func (p *problems) add(at *node, detail, remedy string) {
	p.grave = true
	p.addLight(at, detail, remedy)
}

// addLight reports what does not keep anybody from looking for more.
func (p *problems) addLight(at *node, detail, remedy string) {
	if len(p.list) == maxProblems {
		p.list = append(p.list, &Problem{File: p.file, Detail: "and more: only the first are shown"})
	}
	if len(p.list) > maxProblems {
		return
	}
	key := p.below
	if at.path != "" {
		key = join(p.below, at.path)
	}
	if slices.ContainsFunc(p.list[:p.settled], func(before *Problem) bool { return before.Key == key || within(before.Key, key) }) {
		return
	}
	p.list = append(p.list, &Problem{p.file, at.line, at.column, key, detail, remedy})
}

// within tells whether a key stands below another.
func within(key, other string) bool {
	rest, below := strings.CutPrefix(key, other)
	return below && rest != "" && (other == "" || rest[0] == '.' || rest[0] == '[')
}

// step ends one: what the next ones have to say of the same places is not asked for.
func (p *problems) step() { p.settled = len(p.list) }

// err joins what was gathered in the order of the lines.
func (p *problems) err() error {
	slices.SortStableFunc(p.list, func(a, b *Problem) int {
		if a.Line == 0 || b.Line == 0 { // what has no line comes last
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(p.list))
	for i, problem := range p.list {
		errs[i] = problem
	}
	return errors.Join(errs...)
}

// quote shows a value of any length and content on one line.
func quote(s string) string {
	const shown = 80 // a terminal's width
	if len(s) > shown {
		return fmt.Sprintf("%q…", s[:shown])
	}
	return fmt.Sprintf("%q", s)
}
