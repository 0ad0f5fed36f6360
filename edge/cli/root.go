package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/agent"
	"holdfast/edge/boltfile"
	"holdfast/edge/localapi"
	"holdfast/runtime/relay"
)

// Process is what a verb sees of the process it runs in.
type Process struct {
	Args    []string
	Environ []string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Version string
	Built   time.Time // of the program; zero when it is not known
	Started time.Time
	Reload  func() <-chan os.Signal // begins to deliver the signal that asks for a reload
}

// Getenv reads one variable of the process's environment.
func (p Process) Getenv(name string) string {
	for _, entry := range p.Environ {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}

// Main runs the verb that the arguments name and returns the exit code.
func Main(ctx context.Context, p Process) int {
	// Before anything else: the child that looks at a damaged database has no use for
	// flags, and must not be kept from its task by what they would load.
	if len(p.Args) > 0 && p.Args[0] == agent.CheckVerb {
		return agent.CheckMain(p.Args[1:])
	}
	// Nor has the process that stays beside the agent for published ports.
	if len(p.Args) > 0 && p.Args[0] == relay.Verb {
		return relay.Main(ctx, p.Args[1:], p.Stderr)
	}
	if launches(p.Args) {
		p = launch(ctx, p)
	}
	d := &door{Process: p}
	root := d.root()
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errEnough) {
		report(p.Stderr, err)
	}
	return ExitCode(err)
}

// door holds the flags every verb shares.
type door struct {
	Process
	address   string
	tokenFile string
	token     string // what that file holds
	output    string
}

// defaultAddress is where the agent listens unless it is configured otherwise.
const defaultAddress = "/run/holdfast/holdfast.sock"

func (d *door) root() *cobra.Command {
	root := group(&cobra.Command{
		Use:           "holdfast",
		Short:         "An edge gateway agent that keeps its inference deadlines when the network does not hold",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if d.output != "table" && d.output != "json" {
				return usagef("unknown output %q: must be table or json", d.output)
			}
			return d.readToken()
		},
	})
	address := d.Getenv("HOLDFAST_API_SOCKET")
	if address == "" {
		address = defaultAddress
	}
	flags := root.PersistentFlags()
	flags.StringVar(&d.address, "address", address, "the agent's socket, or http://127.0.0.1:PORT (environment: HOLDFAST_API_SOCKET)")
	flags.StringVar(&d.tokenFile, "token-file", d.Getenv("HOLDFAST_API_TOKEN_FILE"),
		"file with the token that http://127.0.0.1:PORT wants for what changes the node; no other machine is sent it (environment: HOLDFAST_API_TOKEN_FILE)")
	flags.StringVarP(&d.output, "output", "o", "table", "how to print: table or json")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		d.runVerb(), d.selfTestVerb(), d.updateVerb(), d.updateSystemVerb(), d.launchVerb(), d.statusVerb(), d.topVerb(), d.eventsVerb(), d.logsVerb(), d.doctorVerb(),
		d.inferVerb(), d.tasksVerb(), d.workloadsVerb(), d.imagesVerb(), d.volumesVerb(), d.drainVerb(), d.undrainVerb(), d.clearVerb(),
		d.configVerb(), d.siteVerb(), d.flashVerb(), d.policyVerb(), d.releaseVerb(), d.fleetVerb(), d.brokerVerb(), d.benchVerb(), d.versionVerb(),
	)
	return root
}

func (d *door) client() *localapi.Client { return localapi.Dial(d.address).WithToken(d.token) }

// maxTokenFile is more than any token needs.
const maxTokenFile = 4 << 10

// readToken reads what a port wants. The agent's own environment names the file too, so one
// that is not needed need not be there.
func (d *door) readToken() error {
	if d.tokenFile == "" || !strings.HasPrefix(d.address, "http://") {
		return nil
	}
	text, err := boltfile.ReadBounded(d.tokenFile, maxTokenFile)
	if err != nil {
		return edge.WithHint(fmt.Errorf("cannot read token: %w", err), "--token-file names the file that the agent's api.tokenFile does, and that you may read")
	}
	d.token = strings.TrimSpace(string(text))
	if d.token == "" || strings.ContainsFunc(d.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return edge.WithHint(fmt.Errorf("cannot use token in %q: it must be one line of letters and digits: %w", d.tokenFile, edge.ErrInvalid), "see api.tokenFile in docs/configuration.md")
	}
	return nil
}

func (d *door) printer() printer { return printer{out: d.Stdout, asJSON: d.output == "json"} }

// show prints v as JSON, or calls table for people.
func (d *door) show(v any, table func(printer) error) error {
	p := d.printer()
	if p.asJSON {
		return p.JSON(v)
	}
	return table(p)
}

// group makes a command that only holds verbs: alone it helps, and a verb that is
// not there is a mistake in usage.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := usagef("unknown command %q for %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return edge.WithHint(err, "did you mean "+strings.Join(near, " or ")+"?")
		}
		return edge.WithHint(err, cmd.CommandPath()+" --help lists all commands")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.SuggestionsMinimumDistance = 2 // two slips of the finger
	return cmd
}

// exactly refuses a wrong number of arguments as a mistake in usage.
func exactly(n int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %s: %s", cmd.CommandPath(), counted(n, "argument"), names)
		}
		return nil
	}
}

// between refuses too few or too many arguments as a mistake in usage.
func between(least, most int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usagef("%s takes %d to %d arguments: %s", cmd.CommandPath(), least, most, names)
		}
		return nil
	}
}

// nothing refuses any argument.
func nothing(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments; %q was given", cmd.CommandPath(), args[0])
	}
	return nil
}
