package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/fleet/desk"
	"holdfast/edge/trust"
)

// verbFlags are the flags that some verbs of the fleet take.
type verbFlags struct {
	lines         int
	input         string
	deadline      time.Duration
	class, tenant string
	within        time.Duration
	bandwidth     string
	again         bool
	digest        string
	restart       string
}

func (v *verbFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&v.lines, "lines", 0, "logs: how many lines (default: what the node sends)")
	flags.StringVar(&v.input, "input", "", "infer: file with the request, - is standard input")
	flags.DurationVar(&v.deadline, "deadline", 0, "infer: answer within this time on the node")
	flags.StringVar(&v.class, "class", "", "infer: urgent, normal or batch")
	flags.StringVar(&v.tenant, "tenant", "", "infer: who the task is accounted to")
	flags.DurationVar(&v.within, "within", 0, "drain: how long to wait for the tasks inside")
	flags.StringVar(&v.bandwidth, "bandwidth", "", "update, update-system: bytes a second the download may take, such as 500Ki")
	flags.BoolVar(&v.again, "again", false, "update, update-system: try a version anew that the node has left before")
	flags.StringVar(&v.digest, "digest", "", "update-system: digest of the bundle, sha256:…; needed for one on a web server")
	flags.StringVar(&v.restart, "restart", "", "update-system: "+restartUsage)
}

// verbUse says how a verb is called, and what its flags are.
type verbUse struct {
	args  string // words after the verb
	least int
	most  int // -1: any number
	flags []string
	build func(d *door, args []string, v verbFlags) (map[string]any, error)
}

// verbUses says how each verb is called.
func verbUses() map[edge.Verb]verbUse {
	nothing := verbUse{build: func(*door, []string, verbFlags) (map[string]any, error) { return nil, nil }}
	target := verbUse{args: "APP/NAME", least: 1, most: 1, build: oneArg("target")}
	uses := map[edge.Verb]verbUse{
		edge.VerbApply:  {args: "FILE", least: 1, most: 1, build: applyArgs},
		edge.VerbStart:  target,
		edge.VerbStop:   target,
		edge.VerbScale:  {args: "APP/NAME REPLICAS", least: 2, most: 2, build: scaleArgs},
		edge.VerbPull:   {args: "IMAGE@sha256:…", least: 1, most: 1, build: oneArg("image")},
		edge.VerbImport: {args: "NAME", least: 1, most: 1, build: oneArg("name")},
		edge.VerbInfer:  {args: "MODEL --input FILE", least: 1, most: 1, flags: []string{"input", "deadline", "class", "tenant"}, build: inferArgs},
		edge.VerbLogs:   {args: "APP/NAME[/INSTANCE]", least: 1, most: 1, flags: []string{"lines"}, build: logsArgs},
		edge.VerbExec:   {args: "APP/NAME -- PROGRAM [ARGUMENT…]", least: 2, most: -1, build: execArgs},
		edge.VerbDrain:  {flags: []string{"within"}, build: drainArgs},
		edge.VerbUpdate: {args: "RELEASE URL…", least: 2, most: -1, flags: []string{"bandwidth", "again"}, build: updateArgs},
		edge.VerbUpdateSystem: {
			args: "BUNDLE [VERSION]", least: 1, most: 2, flags: []string{"bandwidth", "again", "digest", "restart"}, build: updateSystemArgs,
		},
		edge.VerbCancel: {args: "ID", least: 1, most: 1, build: nothing.build},
	}
	uses[edge.VerbRestart] = verbUse{args: "APP/NAME[/INSTANCE]", least: 1, most: 1, build: oneArg("target")}
	for verb := range edge.Verbs() {
		if _, is := uses[verb]; !is {
			uses[verb] = nothing
		}
	}
	return uses
}

// verbHelp lists the verbs for people.
func verbHelp() string {
	uses := verbUses()
	lines := "Verbs:\n"
	for _, verb := range slices.Sorted(maps.Keys(uses)) {
		line := "  " + string(verb) + " " + uses[verb].args
		if edge.Verbs()[verb].Signatures > 1 {
			line += "  (two signatures)"
		}
		lines += strings.TrimRight(line, " ") + "\n"
	}
	return lines
}

// arguments reads what follows a verb.
func (d *door) arguments(cmd *cobra.Command, verb edge.Verb, args []string, v verbFlags) (json.RawMessage, error) {
	use, known := verbUses()[verb]
	if !known {
		return nil, edge.WithHint(usagef("unknown verb %q", verb), cmd.CommandPath()+" --help lists the verbs")
	}
	if len(args) < use.least || use.most >= 0 && len(args) > use.most {
		return nil, usagef("usage: %s … %s", verb, strings.TrimSpace(use.args))
	}
	for _, name := range [...]string{"lines", "input", "deadline", "class", "tenant", "within", "bandwidth", "digest", "restart"} {
		if cmd.Flags().Changed(name) && !slices.Contains(use.flags, name) {
			return nil, usagef("--%s is not for %s", name, verb)
		}
	}
	object, err := use.build(d, args, v)
	if err != nil || object == nil {
		return nil, err
	}
	return edge.CanonicalJSON(object)
}

func oneArg(name string) func(*door, []string, verbFlags) (map[string]any, error) {
	return func(_ *door, args []string, _ verbFlags) (map[string]any, error) {
		return map[string]any{name: args[0]}, nil
	}
}

func scaleArgs(_ *door, args []string, _ verbFlags) (map[string]any, error) {
	replicas, err := strconv.ParseUint(args[1], 10, 16)
	if err != nil {
		return nil, usagef("cannot read number of replicas %q", args[1])
	}
	return map[string]any{"target": args[0], "replicas": replicas}, nil
}

func logsArgs(_ *door, args []string, v verbFlags) (map[string]any, error) {
	object := map[string]any{"target": args[0]}
	if v.lines < 0 {
		return nil, usagef("--lines must not be negative")
	}
	if v.lines > 0 {
		object["lines"] = v.lines
	}
	return object, nil
}

func execArgs(_ *door, args []string, _ verbFlags) (map[string]any, error) {
	return map[string]any{"target": args[0], "argv": args[1:]}, nil
}

func drainArgs(_ *door, _ []string, v verbFlags) (map[string]any, error) {
	if v.within <= 0 {
		return nil, nil
	}
	return map[string]any{"withinMs": v.within.Milliseconds()}, nil
}

func inferArgs(d *door, args []string, v verbFlags) (map[string]any, error) {
	if v.input == "" {
		return nil, usagef("infer needs --input FILE, or --input - for standard input")
	}
	request, err := d.readRequest(v.input)
	if err != nil {
		return nil, noFile(err, "name a file with the request, or - for standard input")
	}
	if err := edge.CheckJSON(request, edge.JSONBounds{Size: trust.MaxCommand, Depth: 12}); err != nil {
		return nil, fmt.Errorf("cannot send request over the link: %w", err)
	}
	object := map[string]any{"model": args[0], "request": json.RawMessage(request)}
	if v.deadline > 0 {
		object["deadlineMs"] = v.deadline.Milliseconds()
	}
	if v.class != "" {
		if _, err := edge.ParseClass(v.class); err != nil {
			return nil, usageError{err}
		}
		object["class"] = v.class
	}
	if v.tenant != "" {
		object["tenant"] = v.tenant
	}
	return object, nil
}

// applyArgs puts a signed document into a command, where it is small enough.
func applyArgs(_ *door, args []string, _ verbFlags) (map[string]any, error) {
	document, err := fleet.ReadDocument(args[0])
	err = noFile(err, "name what `holdfast policy sign` wrote")
	if err == nil {
		err = desk.CheckDocument(document, nil)
	}
	if err != nil {
		return nil, err
	}
	if n := len(document.Signed()); n > trust.MaxCommand-1024 {
		return nil, edge.WithHint(fmt.Errorf("cannot send %q in a command: %d bytes are too many: %w", args[0], n, edge.ErrInvalid), "use: holdfast fleet apply FILE")
	}
	return map[string]any{"document": json.RawMessage(document.Signed())}, nil
}
