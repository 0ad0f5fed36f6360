package cli

import (
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet/desk"
)

// TestAnswersVerdict: what nodes said, and what they did not, as exit codes.
func TestAnswersVerdict(t *testing.T) {
	command := &edge.Command{ID: "one", Verb: edge.VerbRestart, Audience: edge.Audience{Group: "first"}}
	said := func(stage edge.Stage) desk.Answer { return desk.Answer{Node: "gw-1", Reply: edge.Reply{Stage: stage}} }
	refusal := desk.Answer{Node: "gw-2", Refusal: "wrong_role: key 12"}
	for name, c := range map[string]struct {
		answers []desk.Answer
		want    int
	}{
		"Succeeded":       {[]desk.Answer{said(edge.StageSucceeded)}, ExitOK},
		"Silence":         {[]desk.Answer{said(edge.StageSucceeded), {Node: "gw-2"}}, ExitNoAnswer},
		"LikelyRefused":   {[]desk.Answer{said(edge.StageSucceeded), refusal}, ExitRefused},
		"SilenceIsGraver": {[]desk.Answer{refusal, {Node: "gw-3"}}, ExitNoAnswer},
		"Indeterminate":   {[]desk.Answer{said(edge.StageIndeterminate), refusal}, ExitIndeterminate},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ExitCode(answersVerdict(command, c.answers, time.Second)); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
		})
	}
	for name, err := range map[string]error{
		"CommandOut": interruptedCommand(command, []desk.Answer{}), "CommandNotSent": interruptedCommand(command, nil),
	} {
		t.Run(name, func(t *testing.T) {
			if got := ExitCode(err); got != ExitInterrupted {
				t.Errorf("exit code %d, want %d", got, ExitInterrupted)
			}
		})
	}
	for want, a := range map[string]edge.Audience{
		"gw-1": {Node: "gw-1"}, "--group first": {Group: "first"}, "--label a=1 --label b=2": {Labels: map[string]string{"b": "2", "a": "1"}},
	} {
		if got := addressee(a); got != want {
			t.Errorf("addressee of %v is %q, want %q", a, got, want)
		}
	}
}
