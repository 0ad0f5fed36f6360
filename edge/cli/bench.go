package cli

import "github.com/spf13/cobra"

func (d *door) benchVerb() *cobra.Command {
	cmd := group(&cobra.Command{Use: "bench", Short: "Measure or simulate what this program does"})
	cmd.AddCommand(d.benchScheduleVerb(), d.benchServeVerb())
	return cmd
}
