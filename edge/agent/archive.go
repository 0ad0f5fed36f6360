package agent

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"holdfast/edge"
)

// OpenImage opens an image archive, or packs an OCI layout folder into one on the
// way. What is neither a file nor a folder is refused unopened.
func OpenImage(path string) (io.ReadCloser, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read image: %w", err)
	}
	if !info.IsDir() {
		file, err := openRegular(path)
		if err != nil {
			return nil, edge.WithHint(fmt.Errorf("cannot read image: %w", err), "what comes from a pipe is read by `holdfast images import -`")
		}
		return file, nil
	}
	if _, err := os.Stat(filepath.Join(path, "oci-layout")); err != nil {
		return nil, fmt.Errorf("cannot read image: %q is a folder without an oci-layout file: %w", path, edge.ErrInvalid)
	}
	return packLayout(path), nil
}

func packLayout(path string) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() {
		archive := tar.NewWriter(writer)
		err := archive.AddFS(os.DirFS(path))
		writer.CloseWithError(errors.Join(err, archive.Close()))
	}()
	return reader
}
