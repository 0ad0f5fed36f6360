package oip

import (
	"fmt"

	"holdfast/edge"
)

// FieldError says what is wrong with which part of a request or an answer.
type FieldError struct {
	Field   string // as the JSON path inputs[0].shape[1]; empty: the body as a whole
	Problem string // continues the field's name: "must be positive"
}

// Error names the field and its problem.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + ": " + e.Problem
}

// Unwrap makes every field error an edge.ErrInvalid.
func (e *FieldError) Unwrap() error { return edge.ErrInvalid }

func fieldErrorf(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}
