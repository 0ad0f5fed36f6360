package cli

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/agent"
)

func (d *door) updateVerb() *cobra.Command {
	var wait time.Duration
	var again bool
	cmd := &cobra.Command{
		Use:   "update FOLDER",
		Short: "Update this node's agent to the signed release in a folder, such as a stick",
		Long: "Update this node's agent to the signed release in a folder of this node, such as a stick that is\n" +
			"mounted. The release is verified, put into a slot, tried on a copy of the node's store, and then\n" +
			"started; no workload stops. It is on trial for a while: unless all is as before, the version\n" +
			"before runs again, and this one is not taken a second time, but with --again.",
		Args: exactly(1, "a release folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			folder, err := filepath.Abs(args[0])
			if err != nil {
				return usageError{err}
			}
			bytes := d.progressOf("copying")
			to, err := d.client().Update(cmd.Context(), folder, again, func(p edge.Progress) {
				bytes(p.Done, p.Total)
				if p.Note != "" {
					fmt.Fprintln(d.progress(), p.Note)
				}
			})
			if err != nil {
				return err
			}
			return d.showUpdate(cmd.Context(), to, wait)
		},
	}
	cmd.Flags().BoolVar(&again, "again", false, "try a version anew that was left here before")
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait for the agent to be back; 0 does not wait")
	return cmd
}

// showUpdate waits until the agent answers in the version it was to start in, or another.
func (d *door) showUpdate(ctx context.Context, to edge.AgentUpdate, wait time.Duration) error {
	if !to.Leaving {
		return d.show(to, func(p printer) error {
			_, err := fmt.Fprintf(p.out, "version %s runs already, from slot %s\n", to.Version, to.Slot)
			return err
		})
	}
	if wait <= 0 {
		return d.show(to, func(p printer) error {
			_, err := fmt.Fprintf(p.out, "the agent starts anew in version %s, from slot %s\n", to.Version, to.Slot)
			return err
		})
	}
	now, err := d.awaitAgent(ctx, to, wait)
	if err != nil {
		return err
	}
	return d.show(now, func(p printer) error {
		_, err := fmt.Fprintln(p.out, "version "+now.Version+" runs"+agentWords(now.Agent, time.Now()))
		return err
	})
}

// awaitAgent asks until the agent is another process than before.
func (d *door) awaitAgent(ctx context.Context, to edge.AgentUpdate, wait time.Duration) (edge.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		now, err := d.client().Status(ctx)
		switch {
		case err == nil && now.Agent.Slot == to.Slot:
			return now, nil
		case err == nil && wasRejected(now.Agent, to):
			return now, edge.WithHint(fmt.Errorf("version %s was left, version %s runs again", to.Version, now.Version), "see holdfast status")
		case ctx.Err() != nil:
			return now, fmt.Errorf("the agent is not back after %v: %w", wait, edge.ErrUnavailable)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

func wasRejected(r edge.AgentReport, to edge.AgentUpdate) bool {
	for _, bad := range r.Rejected {
		if bad.Version == to.Version && bad.Sequence == to.Sequence {
			return true
		}
	}
	return false
}

// agentWords says how the agent stands between its versions; nothing when there is nothing
// to say.
func agentWords(r edge.AgentReport, now time.Time) string {
	words := ""
	switch {
	case r.Slot == "":
		return ""
	case r.Rescue != "":
		words = "  in rescue: " + printable(r.Rescue)
	case r.Slot != "factory":
		words = "  from slot " + printable(r.Slot)
	}
	switch {
	case r.Trial && r.Unwell != "":
		words += fmt.Sprintf("  on trial, and not well: %s; else version %s runs again", printable(r.Unwell), printable(r.Previous))
	case r.Trial && !r.TrialUntil.IsZero():
		words += fmt.Sprintf("  on trial for %s; should it fail, version %s runs again", coarse(max(0, r.TrialUntil.Sub(now))), printable(r.Previous))
	case r.Trial:
		words += fmt.Sprintf("  on trial; should it fail, version %s runs again", printable(r.Previous))
	}
	switch {
	case r.Phase == edge.AgentFetching && r.Total > 0:
		words += fmt.Sprintf("  fetching version %s: %s of %s", printable(r.Wanted), size(uint64(r.Done)), size(uint64(r.Total)))
	case r.Phase != "":
		words += "  update: " + string(r.Phase)
	}
	return words
}

// selfTestVerb is for the agent, which tries another version of itself by it.
func (d *door) selfTestVerb() *cobra.Command {
	var flags configFlags
	var state string
	cmd := &cobra.Command{
		Use: agent.SelfTestVerb + " --state COPY", Short: "Try this version on a copy of the agent's store", Hidden: true, Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if state == "" {
				return usagef("no --state is given")
			}
			flags.set = append(flags.set, "paths.state="+state)
			in, err := d.inputs(cmd, flags)
			if err != nil {
				return err
			}
			said, err := agent.SelfTest(cmd.Context(), agent.Options{
				Version: d.Version, Built: d.Built, Started: d.Started, Getenv: d.Getenv,
				Log: newLogger(d.Stderr, "text", slog.LevelError, false),
			}, in)
			if err != nil {
				return err
			}
			return printer{out: d.Stdout, asJSON: true}.JSON(said)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&state, "state", "", "folder of the copy")
	return cmd
}
