package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha1" //nolint:gosec // apk's own sums of files are of this kind
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Where apko keeps what apk does: /lib/apk leads there.
const (
	folder      = "usr/lib/apk"
	database    = folder + "/db/installed"
	scriptsFile = folder + "/db/scripts.tar"
)

// file is a file or folder of a package.
type file struct {
	name     string // below the root
	dir      bool
	mode     fs.FileMode
	uid, gid uint32
	sum      string // of the content, in apk's words
}

// installed is a package as the database has it.
type installed struct {
	name, version, identity string
	files                   []file
	scripts                 map[string][]byte // by apk's names of moments
}

// readInstalled reads the one package of a database.
func readInstalled(root, name string) (*installed, error) {
	text, err := os.ReadFile(filepath.Join(root, database))
	if err != nil {
		return nil, fmt.Errorf("cannot read database: %w", err)
	}
	p := &installed{scripts: map[string][]byte{}}
	dir := ""
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		last := len(p.files) - 1
		switch key {
		case "P":
			if p.name != "" {
				return nil, fmt.Errorf("cannot read database: %s and %s are installed", p.name, value)
			}
			p.name = value
		case "V":
			p.version = value
		case "C":
			p.identity = value
		case "F":
			dir = value
			if dir != "" {
				p.files = append(p.files, file{name: value, dir: true, mode: fs.ModeDir | 0o755})
			}
		case "R":
			p.files = append(p.files, file{name: path.Join(dir, value), mode: 0o644})
		case "M", "a":
			if err := p.files[last].own(value); err != nil {
				return nil, err
			}
		case "Z":
			p.files[last].sum = value
		}
	}
	if p.name != name {
		return nil, fmt.Errorf("cannot find %q: %q is installed", name, p.name)
	}
	if err := p.readScripts(root); err != nil {
		return nil, err
	}
	return p, nil
}

// own reads owner, group and mode.
func (f *file) own(text string) error {
	var mode uint32
	if _, err := fmt.Sscanf(text, "%d:%d:%o", &f.uid, &f.gid, &mode); err != nil {
		return fmt.Errorf("cannot read rights %q of %q: %w", text, f.name, err)
	}
	f.mode = f.mode.Type() | fs.FileMode(mode)
	return nil
}

// readScripts reads the scripts of a package, which lie in one archive for all, each under
// the name of its package, version, identity and moment.
func (p *installed) readScripts(root string) error {
	text, err := os.ReadFile(filepath.Join(root, scriptsFile))
	if err != nil {
		return fmt.Errorf("cannot read scripts: %w", err)
	}
	prefix := p.name + "-" + p.version + "." + p.identity
	for archive := tar.NewReader(bytes.NewReader(text)); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read scripts: %w", err)
		}
		moment, ours := strings.CutPrefix(header.Name, prefix)
		if !ours {
			return fmt.Errorf("cannot read scripts: %q is nobody's", header.Name)
		}
		if p.scripts[moment], err = io.ReadAll(archive); err != nil {
			return fmt.Errorf("cannot read scripts: %w", err)
		}
	}
}

// wrong says what of a package is not as the database has it.
func (p *installed) wrong(root string) (found []error) {
	for _, f := range p.files {
		if err := f.check(root); err != nil {
			found = append(found, err)
		}
	}
	return found
}

// check holds a file against the database.
func (f file) check(root string) error {
	at := filepath.Join(root, f.name)
	info, err := os.Lstat(at)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode() != f.mode || owner.Uid != f.uid || owner.Gid != f.gid {
		return fmt.Errorf("%s is %v of %d:%d, and should be %v of %d:%d", f.name, info.Mode(), owner.Uid, owner.Gid, f.mode, f.uid, f.gid)
	}
	if f.dir {
		return nil
	}
	if sum := sumOf(at); sum != f.sum || f.sum == "" {
		return fmt.Errorf("%s has the sum %s, and should have %q", f.name, sum, f.sum)
	}
	return nil
}

// sumOf is the sum of a file in the database's words; of none it is empty.
func sumOf(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	sum := sha1.Sum(content) //nolint:gosec // as above
	return "Q1" + base64.StdEncoding.EncodeToString(sum[:])
}
