package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (d *door) drainVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "drain",
		Short: "Take no new tasks, and return when those inside have ended",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := d.client().Drain(cmd.Context()); err != nil {
				return err
			}
			_, err := fmt.Fprintln(d.Stdout, "drained")
			return err
		},
	}
}

func (d *door) undrainVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "undrain",
		Short: "Take tasks again",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := d.client().Undrain(cmd.Context()); err != nil {
				return err
			}
			_, err := fmt.Fprintln(d.Stdout, "taking tasks")
			return err
		},
	}
}
