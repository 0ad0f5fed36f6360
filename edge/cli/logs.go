package cli

import (
	"io"

	"github.com/spf13/cobra"
)

func (d *door) logsVerb() *cobra.Command {
	var lines int
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs WORKLOAD|INSTANCE",
		Short: "Show what an instance printed; of a workload, its newest instance",
		Args:  exactly(1, "a workload (app/name) or an instance"),
		RunE: func(cmd *cobra.Command, args []string) error {
			output, err := d.client().Logs(cmd.Context(), args[0], lines, follow)
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
