package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (d *door) volumesVerb() *cobra.Command {
	cmd := group(&cobra.Command{Use: "volumes", Short: "List the folders that apps keep, or remove one"})
	cmd.AddCommand(d.volumesListVerb(), d.volumesRemoveVerb())
	return cmd
}

func (d *door) volumesListVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the volumes on the node, what they hold and what uses them",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			volumes, err := d.client().Volumes(cmd.Context())
			if err != nil {
				return err
			}
			return d.show(volumes, func(p printer) error {
				var rows [][]string
				for _, v := range volumes {
					rows = append(rows, []string{v.Key(), size(v.Size), strings.Join(v.Used, " "), v.Path})
				}
				return p.Table([]string{"VOLUME", "SIZE", "USED BY", "FOLDER"}, rows)
			})
		},
	}
}

func (d *door) volumesRemoveVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "remove APP/NAME",
		Short: "Delete a volume and all that is in it; one that is used stays",
		Args:  exactly(1, "the volume, as `holdfast volumes list` names it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			app, name, both := strings.Cut(args[0], "/")
			if !both || app == "" || name == "" || strings.Contains(name, "/") {
				return usagef("cannot remove volume: %q is not APP/NAME", args[0])
			}
			if err := d.client().RemoveVolume(cmd.Context(), app, name); err != nil {
				return err
			}
			_, err := fmt.Fprintf(d.Stdout, "removed volume %s\n", args[0])
			return err
		},
	}
}
