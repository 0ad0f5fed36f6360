package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/edge/compose"
	"holdfast/edge/config"
)

func (d *door) configVerb() *cobra.Command {
	cmd := group(&cobra.Command{Use: "config", Short: "Show or check the configuration"})
	cmd.AddCommand(d.configShowVerb(), d.configCheckVerb())
	return cmd
}

func (d *door) configShowVerb() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print every key in force, its value and where that comes from",
		Args:  nothing,
		RunE: func(*cobra.Command, []string) error {
			loaded, err := flags.load(d.Process)
			if err != nil {
				return err
			}
			return d.show(loaded.Origins(), func(p printer) error { return p.Table(originRows(loaded.Origins())) })
		},
	}
	flags.add(cmd)
	return cmd
}

func originRows(values []config.Value) ([]string, [][]string) {
	rows := make([][]string, 0, len(values))
	for _, v := range values {
		rows = append(rows, []string{v.Key, v.Value, v.Origin})
	}
	return []string{"KEY", "VALUE", "ORIGIN"}, rows
}

func (d *door) configCheckVerb() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and the workloads it names; exit code 2 if anything is wrong",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := flags.load(d.Process)
			if err != nil {
				return err
			}
			return d.checkInputs(cmd, loaded)
		},
	}
	flags.add(cmd)
	return cmd
}

func (d *door) checkInputs(cmd *cobra.Command, loaded *config.Loaded) error {
	for _, note := range loaded.Warnings {
		fmt.Fprintf(d.Stderr, "note: %s\n", note)
	}
	for _, file := range loaded.Files {
		fmt.Fprintf(d.Stdout, "read %s\n", file)
	}
	if path := loaded.Config.Workloads.Compose; path != "" {
		workloads, err := compose.Load(cmd.Context(), compose.Options{Path: path, Environ: d.Environ})
		if err != nil {
			return usageError{err}
		}
		fmt.Fprintf(d.Stdout, "read %s: %d workload(s)\n", path, len(workloads))
	}
	_, err := fmt.Fprintln(d.Stdout, "configuration is valid")
	return err
}
