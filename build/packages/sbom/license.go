package sbom

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"holdfast/edge"
)

// Text is a file of a module that says under which terms it may be used.
type Text struct {
	Name    string // of the file
	Content string
	IDs     []string // as SPDX names those that were recognized in it
}

// Licenses reads the licence files of a module: those of its own folder, where a module
// has them, and the notices that go with them.
func Licenses(cache, path, version string) ([]Text, error) {
	folder := filepath.Join(cache, escaped(path)+"@"+escaped(version))
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, edge.WithHint(fmt.Errorf("cannot read licences of module %q: %w", path, err), "run: go mod download")
	}
	var texts []Text
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !isTerms(entry.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("cannot read licence of module %q: %w", path, err)
		}
		texts = append(texts, Text{entry.Name(), string(content), Recognize(string(content))})
	}
	return texts, nil
}

// isTerms tells by its name whether a file holds terms.
func isTerms(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".go", ".sh", ".json", ".yml", ".yaml":
		return false
	}
	name = strings.ToUpper(name)
	return slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "PATENTS", "EDL-V", "EPL-V"}, func(word string) bool {
		return strings.HasPrefix(name, word)
	})
}

// escaped is how the module cache writes capitals in names of folders.
func escaped(path string) string {
	var b strings.Builder
	for _, r := range path {
		if unicode.IsUpper(r) {
			b.WriteByte('!')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// names are the licences of all texts, each once, and whether one of them is enough.
func names(texts []Text) (ids []string, either bool) {
	for _, text := range texts {
		ids = append(ids, text.IDs...)
		either = either || strings.Contains(strings.ToLower(text.Content), "what dual-licensing means")
	}
	slices.Sort(ids)
	return slices.Compact(ids), either
}

// signs are what only the text of a licence says, with all blanks alike and no capitals.
// All signs of a licence have to be there, and none of what it must not say.
func signs() []sign {
	const bsd = "redistribution and use in source and binary forms, with or without modification, are permitted"
	return []sign{
		{"Apache-2.0", []string{"apache license version 2.0, january 2004", "terms and conditions for use, reproduction, and distribution"}, nil},
		{"MIT", []string{"permission is hereby granted, free of charge, to any person obtaining a copy", "the above copyright notice and this permission notice"}, nil},
		{"BSD-3-Clause", []string{bsd, "used to endorse or promote products derived from"}, []string{"all advertising materials"}},
		{"BSD-2-Clause", []string{bsd, "reproduce the above copyright notice"}, []string{"endorse or promote", "all advertising materials"}},
		{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose", "the above copyright notice and this permission notice appear in all copies"}, nil},
		{"MPL-2.0", []string{"mozilla public license version 2.0", "covered software"}, nil},
		{"EPL-2.0", []string{"eclipse public license - v 2.0", "the accompanying program is provided under the terms"}, nil},
	}
}

type sign struct {
	id          string
	says, never []string
}

// Recognize names the licences whose text a file holds.
func Recognize(content string) []string {
	text := strings.ToLower(strings.Join(strings.Fields(content), " "))
	text = strings.NewReplacer("apache license, version", "apache license version").Replace(text)
	var found []string
	for _, s := range signs() {
		missing := slices.ContainsFunc(s.says, func(words string) bool { return !strings.Contains(text, words) })
		if !missing && !slices.ContainsFunc(s.never, func(words string) bool { return strings.Contains(text, words) }) {
			found = append(found, s.id)
		}
	}
	return found
}
