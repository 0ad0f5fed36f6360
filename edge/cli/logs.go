package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

func (d *door) logsVerb() *cobra.Command {
	var lines int
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs WORKLOAD|INSTANCE",
		Short: "Show what an instance printed; of a workload, its newest instance",
		Long: "Show what an instance printed; of a workload, its newest instance. With -f it goes on until it is\n" +
			"interrupted, also when the agent is restarted meanwhile.",
		Args: exactly(1, "a workload (app/name) or an instance"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if follow {
				return d.followLogs(cmd.Context(), args[0], lines)
			}
			output, err := d.client().Logs(cmd.Context(), args[0], lines, false)
			if err != nil {
				return err
			}
			defer output.Close()
			_, err = io.Copy(d.Stdout, output)
			return err
		},
	}
	cmd.Flags().IntVarP(&lines, "lines", "n", 100, "how many of the last lines")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is printed from now")
	return cmd
}

// followLogs prints until ctx ends, or the output does.
func (d *door) followLogs(ctx context.Context, target string, lines int) error {
	client := d.client()
	agent, err := d.watch(ctx, client)
	if err != nil {
		return err
	}
	output, err := client.Logs(ctx, target, lines, true)
	if err != nil {
		return err
	}
	copied := logCopy{out: d.Stdout}
	for {
		err := copied.all(output)
		_ = output.Close() // it was only read
		switch {
		case ctx.Err() != nil:
			return errEnough
		case copied.broken != nil:
			return copied.broken
		}
		again, waited := agent.isBack(ctx)
		switch {
		case waited != nil:
			return waited
		case !again:
			return err
		}
		if output, err = copied.resume(ctx, client, target, agent); err != nil {
			return err
		}
	}
}
