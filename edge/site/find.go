package site

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Name is what the file is called. Endings that editors change or add are accepted.
const Name = "holdfast-site.yaml"

// ErrorsName is the file beside it that says what is wrong with it.
const ErrorsName = "holdfast-site.errors.txt"

// maxFile bounds a site file: with every document inline it has some 40 KiB.
const maxFile = 1 << 20

// source is a file that may ask for something.
type source struct {
	name    string
	content []byte
}

// find looks for site files in a folder: those that have more than comments. What cannot be
// read is a fault.
func find(folder string) (found []source, err error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look into the boot partition: %w", err)
	}
	for _, entry := range entries {
		if !isName(entry.Name()) {
			continue
		}
		content, err := read(filepath.Join(folder, entry.Name()), maxFile)
		if err != nil {
			return nil, &Faults{File: entry.Name(), All: []Fault{{Detail: "cannot be read", Remedy: "copy it anew, as a plain file of less than 1 MiB"}}}
		}
		if text, fault := plain(content); fault != nil || !silent(text) {
			found = append(found, source{entry.Name(), content})
		}
	}
	return found, nil
}

// isName accepts what Windows makes of the name when it hides endings, and capitals,
// which FAT does not tell from small letters.
func isName(name string) bool {
	return slices.Contains([]string{Name, Name + ".txt", "holdfast-site.yml", "holdfast-site.yml.txt", "holdfast-site.txt"}, strings.ToLower(name))
}

// single is the file that counts; nil where there is none.
func single(found []source) (*source, error) {
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return &found[0], nil
	}
	return nil, &Faults{File: found[0].name, All: []Fault{{
		Detail: "lies beside " + found[1].name + ", and both ask for something", Remedy: "remove one of them",
	}}}
}

// besideIn reads files of a folder; capitals do not count where no name is the same.
func besideIn(folder string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		actual, err := nameIn(folder, name)
		if err != nil {
			return nil, err
		}
		return read(filepath.Join(folder, actual), MaxDocument)
	}
}

func nameIn(folder, name string) (string, error) {
	if _, err := os.Lstat(filepath.Join(folder, name)); err == nil {
		return name, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		if strings.EqualFold(entry.Name(), name) {
			return entry.Name(), nil
		}
	}
	return "", fs.ErrNotExist
}

// Read reads and checks a site file that lies anywhere, with the files beside it.
func Read(path string) (*File, error) {
	content, err := read(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read site file: %w", err)
	}
	return Parse(filepath.Base(path), content, besideIn(filepath.Dir(path)))
}
