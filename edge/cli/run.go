package cli

import (
	"context"
	"errors"
	"log/slog"
	goruntime "runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"holdfast/edge/agent"
	"holdfast/edge/compose"
	"holdfast/edge/config"
	"holdfast/edge/slots"
)

// configFlags are the flags of every verb that reads the configuration.
type configFlags struct {
	path string
	set  []string
}

func (f *configFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "config", "", "configuration file (default "+config.DefaultPath+" if it is there)")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "set one key, for example --set scheduler.slots=2; may be repeated")
}

// words are the flags as they were given.
func (f *configFlags) words() (words []string) {
	if f.path != "" {
		words = append(words, "--config", f.path)
	}
	for _, set := range f.set {
		words = append(words, "--set", set)
	}
	return words
}

// load reads every layer. Whatever is wrong with one, a missing file included, is a
// matter of usage.
func (f *configFlags) load(p Process) (*config.Loaded, error) {
	loaded, err := config.Load(config.Options{Path: f.path, Environ: slots.WithoutOurs(p.Environ), Overrides: f.set})
	if err != nil {
		return nil, usageError{err}
	}
	return loaded, nil
}

// gcPercent lets the heap grow by half before it is collected. The agent's live
// heap is some 3 MiB, so collecting is cheap, and a gateway's memory is not.
const gcPercent = 50

func (d *door) runVerb() *cobra.Command {
	var flags configFlags
	var composePath string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the agent",
		Long: "Run the agent in the foreground until SIGTERM. SIGHUP reads the configuration and the workloads anew.\n" +
			"Ending the agent, in whatever way, stops no workload.",
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if composePath != "" {
				flags.set = append(flags.set, "workloads.compose="+composePath)
			}
			return d.runAgent(cmd, flags)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&composePath, "compose", "", "Compose file with the workloads to run (short for --set workloads.compose=FILE)")
	return cmd
}

// frugal keeps the agent out of the models' way: at most half of the cores, which
// on two of them also spares a task some 25 µs of handing work between threads. A
// GOMAXPROCS in the environment counts instead.
func (d *door) frugal() {
	debug.SetGCPercent(gcPercent)
	if d.Getenv("GOMAXPROCS") == "" {
		goruntime.GOMAXPROCS(max(1, goruntime.NumCPU()/2))
	}
}

func (d *door) runAgent(cmd *cobra.Command, flags configFlags) error {
	d.frugal()
	load := func() (agent.Inputs, error) { return d.inputs(cmd, flags) }
	in, err := load()
	if err != nil {
		return err
	}
	var level slog.LevelVar
	journal := isJournal(d.Stderr, d.Getenv("JOURNAL_STREAM"))
	lines := newLogWriter(d.Stderr, journal)
	err = d.serve(cmd.Context(), agent.Options{
		Version: d.Version,
		Built:   d.Built,
		Started: d.Started,
		Log:     newLogger(lines, in.Config.Log.Format, &level, journal),
		Level:   &level,
		Load:    load,
		Getenv:  d.Getenv,
		Environ: d.Environ,
		Flags:   flags.words(),
	}, in)
	return errors.Join(err, lines.Close())
}

func (d *door) serve(ctx context.Context, options agent.Options, in agent.Inputs) error {
	a, err := agent.New(options, in)
	if err != nil {
		return err
	}
	if err := a.Open(ctx); err != nil {
		return err
	}
	return errors.Join(a.Run(ctx, d.Reload()), a.Close())
}

// inputs reads the configuration and, from the file it names, the workloads.
func (d *door) inputs(cmd *cobra.Command, flags configFlags) (agent.Inputs, error) {
	loaded, err := flags.load(d.Process)
	if err != nil {
		return agent.Inputs{}, err
	}
	in := agent.Inputs{
		Config: loaded.Config, Warnings: loaded.Warnings, WorkloadsErr: errNoWorkloads,
		Trust: agent.ReadTrust(loaded.Config.Policy, loaded.Config.Paths.State),
	}
	if in.Trust.Governs() {
		in.WorkloadsErr = errGoverned
	}
	path := loaded.Config.Workloads.Compose
	switch {
	case path == "":
	case in.Trust.Governs():
		in.Warnings = append(in.Warnings, "workloads.compose is not read: a policy governs this node")
	default:
		in.Workloads, in.WorkloadsErr = compose.Load(cmd.Context(), compose.Options{Path: path, Environ: d.Environ})
	}
	return in, nil
}

// errNoWorkloads: nothing says what should run, which is no reason to stop what does.
var errNoWorkloads = errors.New("there is no root document to believe a policy by, and workloads.compose names no file")

// errGoverned is of note only to an agent that began before there was a root document.
var errGoverned = errors.New("there is a root document: from the next start of the agent on, policies say what runs")
