package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"testing"
)

// entry is a file of a package.
type entry struct {
	header  tar.Header
	content []byte
}

// opened is a package that was taken apart without help of who made it.
type opened struct {
	files   map[string]entry // by absolute path
	control map[string]string
}

// members splits an archive as ar writes them.
func members(t *testing.T, file string) map[string][]byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := bytes.CutPrefix(content, []byte("!<arch>\n"))
	if !ok {
		t.Fatalf("%s is no archive of Debian's kind", file)
	}
	found := map[string][]byte{}
	for len(rest) >= 60 {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		if err != nil || size > len(rest)-60 {
			t.Fatalf("%s is damaged: %v", file, err)
		}
		found[strings.TrimRight(string(rest[:16]), " /")] = rest[60 : 60+size]
		rest = rest[60+size+size%2:]
	}
	return found
}

// untar reads an archive to its end.
func untar(t *testing.T, from io.Reader) map[string]entry {
	t.Helper()
	found := map[string]entry{}
	for archive := tar.NewReader(from); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		name := path.Join("/", header.Name)
		if _, twice := found[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		found[name] = entry{*header, content}
	}
}

// wantFolders wants the folder of each entry before it: apk installs nothing else.
func wantFolders(t *testing.T, from io.Reader) {
	t.Helper()
	folders := map[string]bool{".": true}
	for archive := tar.NewReader(from); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := path.Clean(header.Name)
		if !folders[path.Dir(name)] {
			t.Errorf("%s comes before its folder", name)
		}
		folders[name] = header.Typeflag == tar.TypeDir
	}
}

func gunzip(t *testing.T, content []byte) io.Reader {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func openDeb(t *testing.T, file string) opened {
	t.Helper()
	parts := members(t, file)
	if got := string(parts["debian-binary"]); got != "2.0\n" {
		t.Errorf("got format %q, want 2.0", got)
	}
	cmd := exec.CommandContext(t.Context(), "xz", "--decompress", "--stdout")
	cmd.Stdin = bytes.NewReader(parts["data.tar.xz"])
	data, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	p := opened{files: untar(t, bytes.NewReader(data)), control: map[string]string{}}
	for name, e := range untar(t, gunzip(t, parts["control.tar.gz"])) {
		p.control[strings.TrimPrefix(name, "/")] = string(e.content)
	}
	return p
}

// openApk takes the parts apart that follow each other in one file: what the package
// says of itself, and what it holds.
func openApk(t *testing.T, file string) opened {
	t.Helper()
	content, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	source := bufio.NewReader(content)
	p := opened{control: map[string]string{}}
	for part := range 2 {
		r, err := gzip.NewReader(source)
		if err != nil {
			t.Fatalf("part %d: %v", part, err)
		}
		r.Multistream(false)
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("part %d: %v", part, err)
		}
		if part == 1 {
			p.files = untar(t, bytes.NewReader(text))
			wantFolders(t, bytes.NewReader(text))
			break
		}
		// The first part goes on without an end of its own.
		for name, e := range untar(t, io.MultiReader(bytes.NewReader(text), bytes.NewReader(make([]byte, 1024)))) {
			p.control[strings.TrimPrefix(name, "/")] = string(e.content)
		}
	}
	if _, err := source.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("more than two parts follow each other: %v", err)
	}
	return p
}

// openRPM asks rpm's own archive reader for what is in it, where there is one.
func openRPM(t *testing.T, file string) (lead []byte) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) < 96 {
		t.Fatalf("%s has %d bytes", file, len(content))
	}
	return content[:96]
}

// fields are the lines of a control file.
func fields(text, between string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), between); ok && !strings.HasPrefix(line, " ") {
			found[name] = value
		}
	}
	return found
}

// modes of files that are another one's to change would be rights given away.
func (p opened) wrongModes() (wrong []string) {
	for name, e := range p.files {
		want := int64(0o644)
		if e.header.Typeflag == tar.TypeDir || name == "/usr/bin/holdfast" || name == "/etc/init.d/holdfast" {
			want = 0o755
		}
		if e.header.Mode&0o7777 != want || e.header.Uid != 0 || e.header.Gid != 0 {
			wrong = append(wrong, fmt.Sprintf("%s %o %d:%d", name, e.header.Mode, e.header.Uid, e.header.Gid))
		}
	}
	return wrong
}
