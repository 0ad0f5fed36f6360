package cli

import (
	"fmt"
	goruntime "runtime"

	"github.com/spf13/cobra"
)

func (d *door) versionVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Args:  nothing,
		RunE: func(*cobra.Command, []string) error {
			facts := map[string]string{
				"version": d.Version, "go": goruntime.Version(), "platform": goruntime.GOOS + "/" + goruntime.GOARCH,
			}
			return d.show(facts, func(p printer) error {
				_, err := fmt.Fprintf(p.out, "holdfast %s (%s, %s)\n", facts["version"], facts["platform"], facts["go"])
				return err
			})
		},
	}
}
