package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"holdfast/edge"
)

// arguments are what one verb takes.
type arguments interface {
	check() error  // finds what is missing or beyond bounds
	usage() string // the form of them, for whoever got it wrong
}

const (
	// maxArgs is as long as a command can be.
	maxArgs = 64 << 10
	// maxArgsDepth leaves room for the nested data of a tensor.
	maxArgsDepth = 32
)

// argsOf reads the arguments of a command. A field the verb does not know is refused:
// who writes it means something by it.
func argsOf[T arguments](c edge.Command) (T, error) {
	var args T
	text := c.Args
	if len(text) == 0 {
		text = json.RawMessage("{}")
	}
	unknown, err := edge.DecodeJSON(text, edge.JSONBounds{Size: maxArgs, Depth: maxArgsDepth}, &args)
	switch {
	case err != nil:
	case len(unknown) > 0:
		err = &edge.FieldProblem{Field: unknown[0], Detail: "is no argument of " + string(c.Verb)}
	default:
		err = args.check()
	}
	if err != nil {
		err = edge.WithHint(fmt.Errorf("cannot carry out %s: %w", c.Verb, err), string(c.Verb)+" takes "+args.usage())
	}
	return args, err
}

func missing(field string) error { return &edge.FieldProblem{Field: field, Detail: "is missing"} }

func beyond[N int | int64](field string, n, least, most N) error {
	if n >= least && n <= most {
		return nil
	}
	return &edge.FieldProblem{Field: field, Detail: fmt.Sprintf("%d is not within %d and %d", n, least, most)}
}

type noArgs struct{}

func (noArgs) check() error  { return nil }
func (noArgs) usage() string { return "no arguments" }

// targetArgs name a workload or, where the verb takes one, an instance.
type targetArgs struct {
	Target string `json:"target"`
}

func (a targetArgs) check() error {
	if a.Target == "" {
		return missing("target")
	}
	return nil
}

func (targetArgs) usage() string {
	return `{"target": "app/name"}; the name alone will do where it is the only one`
}

type scaleArgs struct {
	Target   string `json:"target"`
	Replicas *int   `json:"replicas"`
}

func (a scaleArgs) check() error {
	switch {
	case a.Target == "":
		return missing("target")
	case a.Replicas == nil:
		return missing("replicas")
	}
	return beyond("replicas", *a.Replicas, 0, mostReplicas)
}

func (scaleArgs) usage() string { return `{"target": "app/name", "replicas": 2}` }

type logsArgs struct {
	Target string `json:"target"`
	Lines  int    `json:"lines"`
}

// Lines of output: what is asked for where nothing is said, and what is looked through
// at most.
const (
	defaultLines = 100
	maxLines     = 10_000
)

func (a logsArgs) check() error {
	if a.Target == "" {
		return missing("target")
	}
	return beyond("lines", a.Lines, 0, maxLines)
}

func (logsArgs) usage() string {
	return `{"target": "app/name or an instance", "lines": 100}`
}

type execArgs struct {
	Target string   `json:"target"`
	Argv   []string `json:"argv"`
}

// maxArgv bounds the words of a program's command line; the length of the command
// bounds theirs.
const maxArgv = 256

func (a execArgs) check() error {
	switch {
	case a.Target == "":
		return missing("target")
	case len(a.Argv) == 0 || a.Argv[0] == "":
		return missing("argv")
	}
	return beyond("argv", len(a.Argv), 1, maxArgv)
}

func (execArgs) usage() string {
	return `{"target": "app/name or an instance", "argv": ["/app/program", "argument"]}`
}

type importArgs struct {
	Name string `json:"name"`
}

func (a importArgs) check() error {
	switch {
	case a.Name == "":
		return missing("name")
	case a.Name == "." || a.Name == ".." || strings.ContainsAny(a.Name, "/\\\x00"):
		return &edge.FieldProblem{Field: "name", Detail: "is not the name of a file alone"}
	}
	return nil
}

func (importArgs) usage() string {
	return `{"name": "digits.oci.tar"}, an archive in the images folder of the node's state`
}

type pullArgs struct {
	Image string `json:"image"`
}

func (a pullArgs) check() error {
	if a.Image == "" {
		return missing("image")
	}
	return nil
}

func (pullArgs) usage() string { return `{"image": "registry.example/line/digits@sha256:…"}` }

type applyArgs struct {
	Document json.RawMessage `json:"document"`
}

func (a applyArgs) check() error {
	switch {
	case len(a.Document) == 0:
		return missing("document")
	case a.Document[0] != '{':
		return &edge.FieldProblem{Field: "document", Detail: "must be an object"}
	}
	return nil
}

func (applyArgs) usage() string { return `{"document": a signed policy or root document}` }

type drainArgs struct {
	WithinMS int64 `json:"withinMs"`
}

// maxWithin is as long as a command can say that something may take.
const maxWithin = 24 * 60 * 60 * 1000

func (a drainArgs) check() error { return beyond("withinMs", a.WithinMS, 0, maxWithin) }

func (drainArgs) usage() string { return `{"withinMs": 30000}` }

type inferArgs struct {
	Model      string          `json:"model"`
	Request    json.RawMessage `json:"request"`
	DeadlineMS int64           `json:"deadlineMs"`
	Class      string          `json:"class"`
	Tenant     string          `json:"tenant"`
}

func (a inferArgs) check() error {
	var problems []error
	if a.Model == "" {
		problems = append(problems, missing("model"))
	}
	if len(a.Request) == 0 {
		problems = append(problems, missing("request"))
	}
	if a.Tenant != "" && !edge.IsName(a.Tenant) {
		problems = append(problems, &edge.FieldProblem{Field: "tenant", Detail: "is no name"})
	}
	if a.Class != "" {
		if _, err := edge.ParseClass(a.Class); err != nil {
			problems = append(problems, &edge.FieldProblem{Field: "class", Detail: err.Error()})
		}
	}
	problems = append(problems, beyond("deadlineMs", a.DeadlineMS, 0, maxWithin))
	return errors.Join(problems...)
}

func (inferArgs) usage() string {
	return `{"model": "digits", "request": {"inputs": […]}, "deadlineMs": 500, "class": "normal", "tenant": "vision"}`
}
