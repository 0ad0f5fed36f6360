package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet/desk"
)

// interruptedCommand says what an interrupted verb leaves behind.
func interruptedCommand(command *edge.Command, answers []desk.Answer) error {
	if answers == nil {
		return coded{ExitInterrupted, fmt.Errorf("interrupted: command %q was not sent", command.ID)}
	}
	return coded{ExitInterrupted, edge.WithHint(fmt.Errorf("interrupted: %s", stillOut(command)), askAgain(command))}
}

// stillOut says how long a command that was sent may have an effect.
func stillOut(command *edge.Command) string {
	return fmt.Sprintf("command %q is still out, and may be begun until %s", command.ID, command.Expires.UTC().Format(time.RFC3339))
}

// askAgain says what can be done about a command that is out.
func askAgain(command *edge.Command) string {
	return fmt.Sprintf("the same with --id %s asks again without doing it twice; `holdfast fleet command %s cancel %s --key KEY` withdraws it", command.ID, addressee(command.Audience), command.ID)
}

// addressee is an audience as the arguments of `fleet command`.
func addressee(a edge.Audience) string {
	switch {
	case a.Node != "":
		return a.Node
	case a.Group != "":
		return "--group " + a.Group
	}
	var flags []string
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		flags = append(flags, "--label "+name+"="+a.Labels[name])
	}
	return strings.Join(flags, " ")
}

func (d *door) tellAnswer(a desk.Answer) {
	r := a.Reply
	switch {
	case r.Stage == "" && a.Refusal != "":
		fmt.Fprintf(d.progress(), "%s  has refused a command, likely this one: %s\n", a.Node, printable(a.Refusal))
		return
	case r.Stage == "" && a.Connection == desk.Unknown:
		fmt.Fprintf(d.progress(), "%s  the broker has never heard of it\n", a.Node)
		return
	case r.Stage == "":
		fmt.Fprintf(d.progress(), "%s  is %s\n", a.Node, a.Connection)
		return
	}
	words := fmt.Sprintf("%s  %s", a.Node, r.Stage)
	for _, more := range [...]string{r.Reason, r.Detail} {
		if more != "" {
			words += ": " + more
		}
	}
	if progress := a.ProgressWords(); progress != "" && !r.Stage.Final() {
		words += ": " + progress
	}
	fmt.Fprintln(d.progress(), printable(words))
	if r.Remedy != "" {
		fmt.Fprintf(d.progress(), "  remedy: %s\n", printable(r.Remedy))
	}
	if len(r.Result) > 0 && d.output != "json" {
		d.printResult(r.Result)
	}
}

// answersVerdict is the worst of all answers, as an exit code.
func answersVerdict(command *edge.Command, answers []desk.Answer, waited time.Duration) error {
	var worst error
	for _, a := range answers {
		code, what := answerCode(a)
		var before coded
		if code == ExitOK || errors.As(worst, &before) && severity(before.code) >= severity(code) {
			continue
		}
		err := fmt.Errorf("command %q %s on node %s", command.ID, what, a.Node)
		if code == ExitNoAnswer {
			err = edge.WithHint(fmt.Errorf("command %q has no final answer of node %s after %v: it is still out, and may be begun until %s", command.ID, a.Node, waited, command.Expires.UTC().Format(time.RFC3339)),
				askAgain(command)+". The broker's access rules may keep one of you from being heard")
		}
		worst = coded{code, err}
	}
	return worst
}

// answerCode is the exit code of one answer, and its word.
func answerCode(a desk.Answer) (code int, what string) {
	switch a.Reply.Stage {
	case edge.StageSucceeded:
		return ExitOK, "succeeded"
	case edge.StageFailed:
		return ExitFailed, "failed"
	case edge.StageRefused:
		return ExitRefused, "was refused"
	case edge.StageExpired:
		return ExitExpired, "expired"
	case edge.StageSuperseded:
		return ExitSuperseded, "was superseded"
	case edge.StageIndeterminate:
		return ExitIndeterminate, "is indeterminate"
	}
	if a.Reply.Stage == "" && a.Refusal != "" {
		return ExitRefused, "was likely refused (" + printable(a.Refusal) + ")"
	}
	return ExitNoAnswer, "is not answered"
}

// severity orders codes: where nobody knows what happened comes before what failed.
func severity(code int) int {
	for i, c := range [...]int{ExitSuperseded, ExitExpired, ExitRefused, ExitNoAnswer, ExitFailed, ExitIndeterminate} {
		if c == code {
			return i
		}
	}
	return -1
}
