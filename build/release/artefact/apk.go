package artefact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
)

// Apk reads a package of Alpine's kind: archives that follow each other, what the package is
// about first and its files last.
func Apk(file string) (Said, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return Said{}, fmt.Errorf("cannot read package: %w", err)
	}
	said, err := apk(bytes.NewReader(content))
	if err != nil {
		return Said{}, fmt.Errorf("cannot read package %q: %w", file, err)
	}
	return said, nil
}

func apk(rest *bytes.Reader) (Said, error) {
	unzipped, err := gzip.NewReader(rest)
	if err != nil {
		return Said{}, fmt.Errorf("its first part: %w", err)
	}
	unzipped.Multistream(false)
	about, err := find(tar.NewReader(unzipped), ".PKGINFO")
	if err != nil {
		return Said{}, err
	}
	said := Said{Version: field(about, "pkgver = "), Arch: field(about, "arch = ")}
	if err := drain(unzipped); err != nil {
		return Said{}, err
	}
	if err := unzipped.Reset(rest); err != nil {
		return Said{}, fmt.Errorf("its second part: %w", err)
	}
	said.Program, err = sumIn(tar.NewReader(unzipped))
	return said, err
}
