package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// loader gathers a configuration layer by layer, and all that is wrong with it.
type loader struct {
	loaded   Loaded
	settings []setting
	byKey    map[string]setting
	known    []string // keys and sections, for suggestions
	errs     []error
}

func newLoader() *loader {
	l := &loader{settings: settings(), byKey: map[string]setting{}}
	l.loaded = Loaded{Config: Default(), origins: map[string]string{}}
	for _, s := range l.settings {
		l.byKey[s.key] = s
		for end := range s.key {
			if section := s.key[:end]; s.key[end] == '.' && !slices.Contains(l.known, section) {
				l.known = append(l.known, section)
			}
		}
		l.known = append(l.known, s.key)
	}
	return l
}

func (l *loader) isSection(key string) bool {
	_, leaf := l.byKey[key]
	return !leaf && slices.Contains(l.known, key)
}

// maxProblems bounds what one load reports: nobody reads more at once, and a
// foreign file must not make a report of its own size.
const maxProblems = 50

func (l *loader) problem(p Problem) {
	switch {
	case len(l.errs) < maxProblems:
		l.errs = append(l.errs, &p)
	case len(l.errs) == maxProblems:
		l.errs = append(l.errs, &Problem{Detail: "and more: only the first are shown"})
	}
}

func (l *loader) full() bool { return len(l.errs) > maxProblems }

func (l *loader) warn(format string, args ...any) {
	l.loaded.Warnings = append(l.loaded.Warnings, fmt.Sprintf(format, args...))
}

// files reads the configuration file and the conf.d beside it.
func (l *loader) files(o Options) {
	path, required := o.Path, true
	if path == "" {
		path = lookup(o.Environ, pathVariable)
	}
	if path == "" {
		path, required = o.DefaultPath, false
	}
	if path == "" {
		path = DefaultPath
	}
	l.file(path, required)
	folder := filepath.Join(filepath.Dir(path), "conf.d")
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.errs = append(l.errs, fmt.Errorf("cannot read configuration folder: %w", err))
	}
	for _, entry := range entries { // in the order of their names
		l.dropIn(folder, entry.Name())
	}
}

func (l *loader) dropIn(folder, name string) {
	switch {
	case strings.HasPrefix(name, "."):
	case filepath.Ext(name) == ".yaml":
		l.file(filepath.Join(folder, name), true)
	case filepath.Ext(name) == ".yml":
		l.warn("%s is not read: only names that end in .yaml are", filepath.Join(folder, name))
	}
}

func lookup(environ []string, name string) string {
	for _, entry := range environ {
		if key, value, _ := strings.Cut(entry, "="); key == name {
			return value
		}
	}
	return ""
}
