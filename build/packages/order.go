package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// orderApk writes an apk anew with its scripts in the order of their names. nfpm v2.45.0
// takes them in whatever order a map has that time. What they are about comes first, as
// apk wants it; the files of the package are not touched.
func orderApk(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot order package: %w", err)
	}
	rest := bytes.NewReader(content)
	entries, err := readControl(rest)
	if err != nil {
		return fmt.Errorf("cannot order package %q: %w", path, err)
	}
	slices.SortStableFunc(entries, func(a, b member) int { return strings.Compare(a.rank(), b.rank()) })
	var ordered bytes.Buffer
	if err := writeControl(&ordered, entries); err != nil {
		return fmt.Errorf("cannot order package %q: %w", path, err)
	}
	if _, err := rest.WriteTo(&ordered); err != nil {
		return err
	}
	return os.WriteFile(path, ordered.Bytes(), 0o644)
}

// member is a file of an archive.
type member struct {
	header  tar.Header
	content []byte
}

func (m member) rank() string {
	if m.header.Name == ".PKGINFO" {
		return ""
	}
	return m.header.Name
}

// readControl reads the first part of an apk and no byte further: an archive that the next
// part goes on with, so it has no end of its own.
func readControl(from *bytes.Reader) (entries []member, err error) {
	unzipped, err := gzip.NewReader(from)
	if err != nil {
		return nil, err
	}
	unzipped.Multistream(false)
	text, err := io.ReadAll(unzipped)
	if err != nil {
		return nil, err
	}
	for archive := tar.NewReader(bytes.NewReader(text)); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return nil, err
		}
		entries = append(entries, member{*header, content})
	}
}

func writeControl(to io.Writer, entries []member) error {
	zipped := gzip.NewWriter(to)
	archive := tar.NewWriter(zipped)
	for _, m := range entries {
		if err := archive.WriteHeader(&m.header); err != nil {
			return err
		}
		if _, err := archive.Write(m.content); err != nil {
			return err
		}
	}
	return errors.Join(archive.Flush(), zipped.Close()) // not closed: it has no end
}
