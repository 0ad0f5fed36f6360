package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"holdfast/edge"
)

// logsResult is the end of an instance's output.
type logsResult struct {
	Instance  string `json:"instance"`
	Text      string `json:"text"`
	Truncated bool   `json:"truncated,omitempty"` // earlier lines that were asked for did not fit
}

// logs shows the last lines of an instance, or of the newest instance of a workload.
func (v *verbs) logs(ctx context.Context, o order) (any, error) {
	args, err := argsOf[logsArgs](o.Command)
	if err != nil {
		return nil, err
	}
	if args.Lines == 0 {
		args.Lines = defaultLines
	}
	id, err := whoseOutput(v.supervisor.Workloads(), instanceOf(args.Target))
	if err != nil {
		return nil, err
	}
	tail, err := v.hands.LogTail(ctx, id, args.Lines)
	if err != nil {
		return nil, err
	}
	text, cut, err := lastBytes(tail, edge.MaxResult)
	if err = errors.Join(err, tail.Close()); err != nil {
		return nil, fmt.Errorf("cannot read output of instance %q: %w", id, err)
	}
	result := &logsResult{Instance: id, Text: string(text), Truncated: cut}
	err = fitting(result, func() bool {
		result.Truncated = true
		result.Text = withoutFirst(result.Text)
		return result.Text != ""
	})
	return result, err
}

// lastBytes reads to the end and keeps the last bytes, from the start of a line.
func lastBytes(source io.Reader, most int) (last []byte, cut bool, err error) {
	block := make([]byte, most)
	for {
		n, err := source.Read(block)
		last = append(last, block[:n]...)
		if len(last) > most {
			last, cut = slices.Clone(last[len(last)-most:]), true
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, false, err
		}
	}
	if cut {
		last = last[lineStart(last):]
	}
	return last, cut, nil
}

// withoutFirst takes the first eighth of a text away, and the line it ends in.
func withoutFirst(text string) string {
	rest := text[len(text)/8+1:]
	return rest[lineStart(rest):]
}

// lineStart is where the next line starts in what begins within one. A line that is
// longer than most of the text is shown in part.
func lineStart[T string | []byte](text T) int {
	for i := range len(text) / 8 {
		if text[i] == '\n' {
			return i + 1
		}
	}
	return 0
}

// execResult is what a program said, and how it ended.
type execResult struct {
	Instance  string  `json:"instance"`
	Code      *uint32 `json:"code,omitempty"` // nil: it did not come to its end
	Signal    string  `json:"signal,omitempty"`
	Stdout    string  `json:"stdout,omitempty"`
	Stderr    string  `json:"stderr,omitempty"`
	Truncated bool    `json:"truncated,omitempty"` // it said more
}

// exitError is the end of a program that did not succeed.
type exitError struct{ edge.Exit }

func (e exitError) Error() string { return "the program " + e.String() }

// Reason is what a reply calls it.
func (e exitError) Reason() string { return "exit_code" }

// maxSaid is what is kept of each of a program's outputs: as much as may fit.
const maxSaid = edge.MaxResult / 2

// exec runs a program inside an instance, and kills it when ctx ends. One that ends with
// another code than 0 has not succeeded; its output is the result all the same.
func (v *verbs) exec(ctx context.Context, o order) (any, error) {
	args, err := argsOf[execArgs](o.Command)
	if err != nil {
		return nil, err
	}
	id, err := whereToRun(v.supervisor.Workloads(), instanceOf(args.Target))
	if err != nil {
		return nil, err
	}
	stdout, stderr := &firstBytes{most: maxSaid}, &firstBytes{most: maxSaid}
	exit, err := v.hands.Exec(ctx, id, args.Argv, nil, stdout, stderr)
	result := &execResult{Instance: id}
	if err == nil {
		result.Code, result.Signal = &exit.Code, exit.Signal
	}
	var cutOut, cutErr bool
	result.Stdout, cutOut = stdout.text()
	result.Stderr, cutErr = stderr.text()
	result.Truncated = cutOut || cutErr
	failed := fitting(result, func() bool {
		result.Truncated = true
		longer := &result.Stdout
		if len(result.Stderr) > len(result.Stdout) {
			longer = &result.Stderr
		}
		*longer = (*longer)[:len(*longer)*7/8]
		return len(result.Stdout)+len(result.Stderr) > 0
	})
	switch {
	case err != nil:
		return result, err
	case failed != nil:
		return nil, failed
	case exit.Code != 0 || exit.Signal != "":
		return result, fmt.Errorf("%q in instance %q: %w", args.Argv[0], id, exitError{exit})
	}
	return result, nil
}

// whereToRun is the instance of a target that runs: itself, or the newest of a workload.
func whereToRun(views []edge.WorkloadView, target string) (string, error) {
	views = slices.Clone(views)
	for i, view := range views {
		views[i].Instances = slices.DeleteFunc(slices.Clone(view.Instances), func(i edge.InstanceView) bool { return !isAlive(i) })
	}
	id, err := whoseOutput(views, target)
	if err != nil {
		return "", edge.WithHint(fmt.Errorf("no instance of %.120q is running: %w", target, edge.ErrNotFound), edge.HintOf(err))
	}
	return id, nil
}

// firstBytes keeps the beginning of what is written to it.
type firstBytes struct {
	most int

	mu   sync.Mutex // guards what follows: the streams of a program may outlast a call that was cut off
	kept []byte
	cut  bool
}

func (f *firstBytes) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fits := min(len(p), f.most-len(f.kept))
	f.kept = append(f.kept, p[:fits]...)
	f.cut = f.cut || fits < len(p)
	return len(p), nil
}

func (f *firstBytes) text() (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return string(f.kept), f.cut
}
