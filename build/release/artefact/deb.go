package artefact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Deb reads a package of Debian's kind.
func Deb(ctx context.Context, file string) (Said, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return Said{}, fmt.Errorf("cannot read package: %w", err)
	}
	said, err := deb(ctx, content)
	if err != nil {
		return Said{}, fmt.Errorf("cannot read package %q: %w", file, err)
	}
	return said, nil
}

func deb(ctx context.Context, content []byte) (Said, error) {
	parts, err := arParts(content)
	if err != nil {
		return Said{}, err
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(parts["control.tar.gz"]))
	if err != nil {
		return Said{}, fmt.Errorf("its control.tar.gz: %w", err)
	}
	control, err := find(tar.NewReader(unzipped), "control")
	if err != nil {
		return Said{}, err
	}
	said := Said{Version: field(control, "Version: "), Arch: field(control, "Architecture: ")}
	xz := exec.CommandContext(ctx, "xz", "--decompress", "--stdout") // Go's library has none
	xz.Stdin = bytes.NewReader(parts["data.tar.xz"])
	files, err := xz.Output()
	if err != nil {
		return Said{}, fmt.Errorf("cannot run xz: %w", err)
	}
	said.Program, err = sumIn(tar.NewReader(bytes.NewReader(files)))
	return said, err
}

// arParts splits an archive as ar writes them.
func arParts(content []byte) (map[string][]byte, error) {
	rest, ok := bytes.CutPrefix(content, []byte("!<arch>\n"))
	if !ok {
		return nil, fmt.Errorf("it is no archive of ar: %w", errForm)
	}
	const head = 60 // of each part
	parts := map[string][]byte{}
	for len(rest) >= head {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		if err != nil || size < 0 || size > len(rest)-head {
			return nil, fmt.Errorf("a part has no size: %w", errForm)
		}
		parts[strings.TrimRight(string(rest[:16]), " /")] = rest[head : head+size]
		rest = rest[min(head+size+size%2, len(rest)):]
	}
	return parts, nil
}

// field is the value of a line that begins so.
func field(text []byte, begins string) string {
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), begins); ok {
			return value
		}
	}
	return ""
}

// find is the content of one file of an archive.
func find(archive *tar.Reader, name string) ([]byte, error) {
	for {
		header, err := archive.Next()
		if err != nil {
			return nil, fmt.Errorf("there is no %s in it: %w", name, err)
		}
		if strings.TrimPrefix(header.Name, "./") == name {
			return io.ReadAll(archive)
		}
	}
}
