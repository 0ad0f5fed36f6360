package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"chainguard.dev/apko/pkg/apk/apk"
)

// writeIndex writes the index of a folder's packages beside them. A package that is not
// under the name apk looks for is refused: it could be found and never fetched.
func writeIndex(ctx context.Context, folder string, stdout io.Writer) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.apk"))
	if err != nil || len(files) == 0 {
		return errors.Join(fmt.Errorf("cannot find packages in %q", folder), err)
	}
	index := apk.APKIndex{Description: "holdfast"}
	for _, file := range files {
		p, err := readPackage(ctx, file)
		if err != nil {
			return err
		}
		if p.Filename() != filepath.Base(file) {
			return fmt.Errorf("cannot index %q: in a repository its name is %s", file, p.Filename())
		}
		index.Packages = append(index.Packages, p)
		fmt.Fprintln(stdout, p.Name, p.Version, p.Arch, p.ChecksumString())
	}
	archive, err := apk.ArchiveFromIndex(&index)
	if err != nil {
		return fmt.Errorf("cannot write index: %w", err)
	}
	text, err := io.ReadAll(archive)
	if err != nil {
		return fmt.Errorf("cannot write index: %w", err)
	}
	return os.WriteFile(filepath.Join(folder, "APKINDEX.tar.gz"), text, 0o644)
}

// readPackage reads what a package says of itself.
func readPackage(ctx context.Context, file string) (*apk.Package, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	p, err := apk.ParsePackage(ctx, f, uint64(info.Size()))
	if err != nil {
		return nil, fmt.Errorf("cannot read package %q: %w", file, err)
	}
	return p, nil
}
