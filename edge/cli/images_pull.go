package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
)

func (d *door) imagesPullVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "pull REGISTRY/PATH@sha256:…",
		Short: "Get an image by its digest from its registry; interrupted, the next pull goes on where this one was",
		Args:  exactly(1, "an image, named by its digest"),
		RunE: func(cmd *cobra.Command, args []string) error {
			begun := time.Now()
			image, fetched, err := d.client().PullImage(cmd.Context(), args[0], d.progressOf("pulling"))
			if err != nil {
				return err
			}
			result := struct {
				Image   edge.Image `json:"image"`
				Fetched int64      `json:"fetched"`
			}{image, fetched}
			return d.show(result, func(p printer) error {
				if fetched == 0 {
					_, err := fmt.Fprintf(d.Stdout, "%s was there already\n", short(image.Digest))
					return err
				}
				took := time.Since(begun).Round(time.Millisecond)
				return p.Table([]string{"DIGEST", "SIZE", "FETCHED", "IN"},
					[][]string{{image.Digest, size(uint64(image.Size)), size(uint64(fetched)), took.String()}})
			})
		},
	}
}

// progressEvery is how often a person is told how far something is: a pull over a slow
// link takes an hour.
const progressEvery = 2 * time.Second

// progressOf tells on the error stream how far something is that takes its time.
func (d *door) progressOf(what string) func(done, total int64) {
	last := time.Now()
	return func(done, total int64) {
		if d.output == "json" || total <= 0 || time.Since(last) < progressEvery {
			return
		}
		last = time.Now()
		fmt.Fprintf(d.Stderr, "%s: %s of %s (%d %%)\n", what, size(uint64(done)), size(uint64(total)), 100*done/total)
	}
}

func (d *door) imagesPruneVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "prune",
		Short: "Remove the images that no policy kept on the node, no workload, no instance and no archive in images/ names",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := d.client().PruneImages(cmd.Context())
			if err != nil {
				return err
			}
			return d.show(done, func(p printer) error {
				if len(done.Gone) > 0 {
					if err := p.Table(imageRows(done.Gone, time.Now())); err != nil {
						return err
					}
				}
				_, err := fmt.Fprintf(d.Stdout, "%s removed, %s freed; %s needed\n",
					counted(len(done.Gone), "image"), size(uint64(done.Freed)), counted(done.Kept, "image"))
				return err
			})
		},
	}
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}
