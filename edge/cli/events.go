package cli

import (
	"context"
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
		Long:  "Show what happened and why. With -f it goes on until it is interrupted, also when the agent is restarted meanwhile.",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if follow {
				return d.followEvents(cmd.Context(), since)
			}
			return d.client().Events(cmd.Context(), since, false, d.printEvent)
		},
	}
	cmd.Flags().Uint64Var(&since, "since", 0, "only events after this number")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens from now")
	return cmd
}

// followEvents prints events until ctx ends: each once, over restarts of the agent, which
// counts on where the one before it ended.
func (d *door) followEvents(ctx context.Context, since uint64) error {
	client := d.client()
	agent, err := d.watch(ctx, client)
	if err != nil {
		return err
	}
	var broken error // the output, not the agent
	each := func(e edge.Event) error {
		since = e.Seq
		broken = d.printEvent(e)
		return broken
	}
	for {
		err := client.Events(ctx, since, true, each)
		switch {
		case ctx.Err() != nil:
			return errEnough
		case broken != nil:
			return broken
		}
		again, waited := agent.isBack(ctx)
		switch {
		case waited != nil:
			return waited
		case !again && err != nil:
			return err
		}
		since = d.sinceOf(ctx, since)
	}
}

// sinceOf is the number to go on from: from the first, should the numbers have begun anew with
// the machine.
func (d *door) sinceOf(ctx context.Context, since uint64) uint64 {
	latest := since
	err := d.client().Events(ctx, 0, false, func(e edge.Event) error {
		latest = e.Seq
		return nil
	})
	if err == nil && latest < since {
		return 0
	}
	return since
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
