package cli

import (
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge"
	"holdfast/edge/agent"
)

func (d *door) imagesVerb() *cobra.Command {
	cmd := group(&cobra.Command{Use: "images", Short: "List the node's images, get some, or remove those that nothing needs"})
	cmd.AddCommand(d.imagesListVerb(), d.imagesImportVerb(), d.imagesPullVerb(), d.imagesPruneVerb())
	return cmd
}

func (d *door) imagesListVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the images in the node's store",
		Args:  nothing,
		RunE: func(cmd *cobra.Command, _ []string) error {
			images, err := d.client().Images(cmd.Context())
			if err != nil {
				return err
			}
			return d.show(images, func(p printer) error { return p.Table(imageRows(images, time.Now())) })
		},
	}
}

func imageRows(images []edge.Image, now time.Time) ([]string, [][]string) {
	var rows [][]string
	for _, i := range images {
		rows = append(rows, []string{i.Name, short(i.Digest), size(uint64(i.Size)), strings.Join(i.Platforms, " "), ago(i.Imported, now)})
	}
	return []string{"IMAGE", "DIGEST", "SIZE", "PLATFORMS", "IMPORTED"}, rows
}

func (d *door) imagesImportVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "import PATH",
		Short: "Import an OCI or docker archive, or an OCI layout folder; - reads an archive from standard input",
		Args:  exactly(1, "an archive, a layout folder, or -"),
		RunE: func(cmd *cobra.Command, args []string) error {
			archive, err := d.openArchive(args[0])
			if err != nil {
				return err
			}
			defer archive.Close()
			images, err := d.client().ImportImages(cmd.Context(), archive)
			if err != nil {
				return err
			}
			return d.show(images, func(p printer) error { return p.Table(imageRows(images, time.Now())) })
		},
	}
}

// openArchive opens a file or a layout folder, or takes standard input.
func (d *door) openArchive(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(d.Stdin), nil
	}
	archive, err := agent.OpenImage(path)
	if err != nil {
		return nil, usageError{err}
	}
	return archive, nil
}
