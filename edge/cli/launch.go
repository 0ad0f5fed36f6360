package cli

import (
	"context"
	"log/slog"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"holdfast/edge/slots"
)

// launchWord makes a process the launcher. It must be the first word.
const launchWord = "launch"

func (d *door) launchVerb() *cobra.Command {
	return &cobra.Command{
		Use:   launchWord + " [flags of run]",
		Short: "Run the version of the agent that is in force, or on trial",
		Long: "Look into the slots for the version of the agent that is to run, and become it: the same process\n" +
			"goes on as that version's `run`, with the flags given here. Where there are no slots, or nothing in\n" +
			"them can be started, this program itself runs. For service managers; the slots are in\n" +
			slots.DefaultDir + ", or where HOLDFAST_SLOTS says.",
		DisableFlagsInUseLine: true,
		FParseErrWhitelist:    cobra.FParseErrWhitelist{UnknownFlags: true},
		Args:                  cobra.ArbitraryArgs,
		RunE: func(*cobra.Command, []string) error {
			return usagef("%q must be the first word", launchWord)
		},
	}
}

// launches tells whether a process is the launcher.
func launches(args []string) bool {
	return len(args) > 0 && args[0] == launchWord && (len(args) == 1 || args[1] != "--help" && args[1] != "-h")
}

// launcher becomes what the slots choose.
type launcher struct {
	Process
	exec func(path string, args, environ []string) error // returns only when it failed
}

// launch returns the process as which this one goes on, when it is the factory's program
// that is to run. Otherwise it does not return: it has become another program.
func launch(ctx context.Context, p Process) Process {
	return launcher{p, syscall.Exec}.launch(ctx)
}

func (l launcher) launch(ctx context.Context) Process {
	started := slots.FromEnvironment(l.Getenv)
	started.Slot, started.Rescue, started.Factory = "", "", l.Version
	store, err := slots.New(started.Options())
	if err != nil { // the folder is absolute
		started.Slot, started.Rescue = slots.Factory, err.Error()
		return l.as(started)
	}
	for {
		choice, err := store.Choose()
		l.tell(choice, err)
		if ctx.Err() != nil { // it was told to end by now, which another program would not know
			choice = slots.Choice{Slot: slots.Factory}
		}
		started.Slot, started.Rescue = choice.Slot, choice.Rescue
		next := l.as(started)
		if choice.Slot == slots.Factory {
			return next
		}
		store.Refuse(choice, l.exec(choice.Path, append([]string{choice.Path}, next.Args...), next.Environ))
	}
}

// as is the process as the agent.
func (l launcher) as(started slots.Started) Process {
	p := l.Process
	p.Args = append([]string{"run"}, p.Args[1:]...)
	p.Environ = started.Environment(p.Environ)
	return p
}

// tell says what is out of the ordinary.
func (l launcher) tell(choice slots.Choice, trouble error) {
	if trouble == nil && len(choice.Said) == 0 && choice.Rescue == "" {
		return
	}
	journal := isJournal(l.Stderr, l.Getenv("JOURNAL_STREAM"))
	lines := newLogWriter(l.Stderr, journal)
	defer func() { _ = lines.Close() }() // of a log that nobody reads, who would be told?
	log := newLogger(lines, "text", slog.LevelInfo, journal)
	if trouble != nil {
		log.Error("slots failed", "error", trouble)
	}
	for _, sentence := range choice.Said {
		log.Warn("version left", "reason", sentence)
	}
	if choice.Rescue != "" {
		log.Error("factory's program in rescue", "reason", choice.Rescue)
	}
	log.Info("version chosen", "slot", string(choice.Slot), "version", choice.Version, "pid", os.Getpid())
}
