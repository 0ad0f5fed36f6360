package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
)

func (d *door) eventsVerb() *cobra.Command {
	var since uint64
	var follow bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened and why",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.client().Events(cmd.Context(), since, follow, d.printEvent)
		},
	}
	cmd.Flags().Uint64Var(&since, "since", 0, "only events after this number")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens from now")
	return cmd
}

// printEvent writes one line, so that a stream can be read as it grows.
func (d *door) printEvent(e edge.Event) error {
	if d.output == "json" {
		return json.NewEncoder(d.Stdout).Encode(e)
	}
	line := []string{e.At.Local().Format(time.StampMilli), string(e.Kind), printable(e.Subject)}
	for _, key := range slices.Sorted(maps.Keys(e.Facts)) {
		if key == "digest" && strings.HasSuffix(e.Facts["image"], "@"+e.Facts[key]) {
			continue // the image is named by it
		}
		line = append(line, key+"="+printable(e.Facts[key]))
	}
	if e.Cause != "" {
		line = append(line, "because", printable(e.Cause))
	}
	_, err := fmt.Fprintln(d.Stdout, strings.Join(line, "  "))
	return err
}
