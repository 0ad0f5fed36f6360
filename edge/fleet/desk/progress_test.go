package desk_test

import (
	"testing"

	"holdfast/edge"
	"holdfast/edge/fleet/desk"
)

// TestAnswer_ProgressWords: what is not counted has no number.
func TestAnswer_ProgressWords(t *testing.T) {
	for want, p := range map[string]*edge.Progress{
		"":                                   nil,
		"on trial":                           {Note: "on trial"},
		"3":                                  {Done: 3},
		"0 bytes":                            {Unit: "bytes"},
		"1 of 4 (25 %) bytes":                {Done: 1, Total: 4, Unit: "bytes"},
		"1 of 4 (25 %), stopping instance 2": {Done: 1, Total: 4, Note: "stopping instance 2"},
	} {
		var a desk.Answer
		a.Reply.Progress = p
		if got := a.ProgressWords(); got != want {
			t.Errorf("of %+v it says %q, want %q", p, got, want)
		}
	}
}
