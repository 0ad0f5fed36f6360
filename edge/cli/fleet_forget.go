package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/edge"
)

func (d *door) fleetForgetVerb(f *fleetLink) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "forget NODE…",
		Short: "Clear what the broker remembers of nodes that are gone",
		Long: "Clear what the broker remembers of nodes that are gone: their presence, their state, and the policy\n" +
			"that waits for them, so that nobody waits for them any more. A node that is there is refused (exit\n" +
			"code 4). What the desk's folder holds of a node, its history above all, stays.",
		Args: between(1, 512, "names of nodes"),
		RunE: func(cmd *cobra.Command, args []string) error {
			table, err := f.open()
			if err != nil {
				return err
			}
			all, err := table.Forget(cmd.Context(), force, args...)
			if errors.Is(err, edge.ErrExists) {
				return coded{ExitRefused, err}
			}
			if err != nil {
				return err
			}
			return d.show(all, func(p printer) error {
				for _, one := range all {
					words := "forgotten"
					if !one.Known {
						words = "the broker has never heard of it; a policy that waited for it is cleared"
					}
					fmt.Fprintf(p.out, "%s  %s\n", one.Node, words)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also nodes that are there, until they speak again")
	return cmd
}
