package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/edge/agent"
	"holdfast/edge/host"
)

var errUnwell = errors.New("something is wrong with this node")

func (d *door) doctorVerb() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine for what the agent needs, and say what to do about what is missing",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := flags.load(d.Process)
			if err != nil {
				return err
			}
			findings := agent.Examine(cmd.Context(), loaded.Config, d.Built)
			if err := d.show(findings, func(p printer) error { return printFindings(p, findings) }); err != nil {
				return err
			}
			for _, f := range findings {
				if f.Level == host.LevelFail {
					return errUnwell
				}
			}
			return nil
		},
	}
	flags.add(cmd)
	return cmd
}

func printFindings(p printer, findings []host.Finding) error {
	for _, f := range findings {
		if _, err := fmt.Fprintf(p.out, "%-4s  %-18s  %s\n", f.Level, f.Code, printable(f.Subject+" "+f.Detail)); err != nil {
			return err
		}
		if f.Remedy != "" {
			fmt.Fprintf(p.out, "      remedy: %s\n", f.Remedy)
		}
	}
	return nil
}
