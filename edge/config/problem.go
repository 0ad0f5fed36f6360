package config

import (
	"errors"
	"fmt"
	"strings"

	"holdfast/edge"
)

// Problem is one defect of the configuration.
type Problem struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Source string `json:"source,omitempty"` // the variable or flag when it stands in no file
	Key    string `json:"key,omitempty"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// Error says where, which key, what is wrong and what to write instead.
func (p *Problem) Error() string {
	var b strings.Builder
	if where := p.Where(); where != "" {
		b.WriteString(where + ": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Detail)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// Unwrap makes every problem edge.ErrInvalid.
func (p *Problem) Unwrap() error { return edge.ErrInvalid }

// Where is the place of the problem: file:line:column, a variable or a flag.
func (p *Problem) Where() string {
	switch {
	case p.File == "":
		return p.Source
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

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

// quote shows a value of any length and content on one line.
func quote(s string) string {
	const shown = 80 // a terminal's width
	if len(s) > shown {
		return fmt.Sprintf("%q…", s[:shown])
	}
	return fmt.Sprintf("%q", s)
}
