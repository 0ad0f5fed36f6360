package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/edge/agent"
)

func (d *door) clearVerb() *cobra.Command {
	var flags configFlags
	var images bool
	cmd := &cobra.Command{
		Use:   "clear",
		Short: "End all workloads of this node while no agent runs",
		Long: "End all workloads of this node, for when no agent is to come after: the agent's own end stops none of them.\n" +
			"It needs containerd, and no agent that runs. Volumes, policies and all else in the state folder stay.",
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := flags.load(d.Process)
			if err != nil {
				return err
			}
			cleared, failed := agent.Clear(cmd.Context(), loaded.Config, images)
			if failed != nil && len(cleared.Instances) == 0 {
				return failed
			}
			return errors.Join(failed, d.show(cleared, func(p printer) error {
				_, err := fmt.Fprintf(p.out, "ended %d instance(s)\n", len(cleared.Instances))
				if err == nil && images {
					_, err = fmt.Fprintf(p.out, "removed %d image(s), which frees %s\n", len(cleared.Images), size(uint64(cleared.Freed)))
				}
				return err
			}))
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&images, "images", false, "remove the images too")
	return cmd
}
