package cli

import (
	"errors"
	"fmt"
	"io"

	"holdfast/edge"
)

// The exit codes of every verb.
const (
	ExitOK          = 0
	ExitFailed      = 1 // the thing asked for failed
	ExitUsage       = 2 // wrong flags, wrong configuration, wrong input
	ExitUnreachable = 3 // the agent, or what it needs, does not answer
	ExitRefused     = 4 // the task was not admitted, or was evicted
	ExitLate        = 5 // the task was accepted and missed its deadline

	// What became of a command of the fleet, besides 0, 1 and 4.
	ExitExpired       = 6 // it came too late to be begun
	ExitIndeterminate = 7 // a crash came between, and it must not be repeated
	ExitNoAnswer      = 8 // not every node has answered in time
	ExitSuperseded    = 9 // another command ended it

	ExitInterrupted = 130 // by SIGINT or SIGTERM, while waiting for the fleet or following
)

// coded is an error with the exit code it leaves behind.
type coded struct {
	code int
	error
}

func (c coded) Unwrap() error { return c.error }

// usageError marks a mistake in how the command was called.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// ExitCode is the number a verb that ended with err leaves behind.
func ExitCode(err error) int {
	var usage usageError
	var own coded
	_, refused := edge.AsRefusal(err)
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &own):
		return own.code
	case refused:
		return ExitRefused
	case errors.Is(err, edge.ErrDeadline):
		return ExitLate
	case errors.As(err, &usage), errors.Is(err, edge.ErrInvalid):
		return ExitUsage
	case errors.Is(err, edge.ErrUnavailable) && !errors.Is(err, edge.ErrNoRoom):
		return ExitUnreachable
	default:
		return ExitFailed
	}
}

// report prints an error and, on a line of its own, what to do about it.
func report(w io.Writer, err error) {
	fmt.Fprintf(w, "holdfast: %v\n", err)
	if hint := edge.HintOf(err); hint != "" {
		fmt.Fprintf(w, "  hint: %s\n", hint)
	}
}
