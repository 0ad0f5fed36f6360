package sbom_test

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/build/packages/sbom"
)

// cache is where Go keeps modules.
func cache(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// agent builds the agent as it is shipped.
func agent(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "holdfast")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", "grpcnotrace,nethttpomithttp2", "-ldflags", "-s -w -buildid=", "-o", file, "../../..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

func options(t *testing.T, program string) sbom.Options {
	t.Helper()
	return sbom.Options{
		Program: program, Version: "1.2.3", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Cache: cache(t), License: "Apache-2.0",
	}
}

// missing are the modules of the program, by what Go says of it, that a document leaves out.
func missing(t *testing.T, program string, doc sbom.Document) (names []string) {
	t.Helper()
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range info.Deps {
		if !slices.ContainsFunc(doc.Components, func(c sbom.Component) bool { return c.Name == module.Path && c.Version == module.Version }) {
			names = append(names, module.Path)
		}
	}
	return names
}

func TestDescribe_Agent(t *testing.T) {
	program := agent(t)
	doc, err := sbom.Describe(options(t, program))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("EveryModule", func(t *testing.T) {
		if got := missing(t, program, doc); got != nil {
			t.Errorf("modules %q are not in it", got)
		}
		less := doc
		less.Components = slices.Clone(doc.Components)[1:]
		less.Components = slices.DeleteFunc(less.Components, func(c sbom.Component) bool { return c.Name == "go.etcd.io/bbolt" })
		if got := missing(t, program, less); !slices.Contains(got, "go.etcd.io/bbolt") {
			t.Errorf("got %q missing, want bbolt, which was taken out: this check cannot fail", got)
		}
	})
	t.Run("ThisProgram", func(t *testing.T) {
		content, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		if got, want := doc.Metadata.Component.Hashes, []sbom.Hash{{Algorithm: "SHA-256", Content: hex.EncodeToString(sum[:])}}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("Licences", func(t *testing.T) {
		for _, c := range doc.Components {
			if len(c.Licenses) == 0 {
				t.Errorf("the licence of %s is not known", c.Name)
			}
		}
	})
	t.Run("Valid", func(t *testing.T) { wantValid(t, doc) })
	t.Run("SameAgain", func(t *testing.T) {
		again, err := sbom.Describe(options(t, program))
		if err != nil {
			t.Fatal(err)
		}
		a, aErr := doc.Encode()
		b, bErr := again.Encode()
		if !bytes.Equal(a, b) || aErr != nil || bErr != nil {
			t.Errorf("the same program gave another document: %v, %v", aErr, bErr)
		}
	})
	t.Run("Terms", func(t *testing.T) {
		terms, err := sbom.Terms(program, cache(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range doc.Components {
			if c.Name != "std" && !strings.Contains(terms, "\n"+c.Name+" "+c.Version+" (") {
				t.Errorf("the terms of %s are not in it", c.Name)
			}
		}
	})
}

// wantValid holds a document against what CycloneDX 1.6 asks of every one.
func wantValid(t *testing.T, doc sbom.Document) {
	t.Helper()
	if err := invalid(doc); err != nil {
		t.Errorf("it is no CycloneDX document: %v", err)
	}
	for name, spoil := range map[string]func(*sbom.Document){
		"Serial":    func(d *sbom.Document) { d.Serial = "1" },
		"Type":      func(d *sbom.Document) { d.Components[0].Type = "thing" },
		"Nameless":  func(d *sbom.Document) { d.Components[0].Name = "" },
		"Twice":     func(d *sbom.Document) { d.Components[1].Ref = d.Components[0].Ref },
		"NoSuchRef": func(d *sbom.Document) { d.Dependencies[0].On[0] = "pkg:none" },
		"Hash":      func(d *sbom.Document) { d.Metadata.Component.Hashes[0].Content = "h1:x" },
	} {
		broken := doc
		broken.Components = slices.Clone(doc.Components)
		broken.Dependencies = []sbom.Dependency{{Ref: doc.Dependencies[0].Ref, On: slices.Clone(doc.Dependencies[0].On)}}
		broken.Metadata.Component.Hashes = slices.Clone(doc.Metadata.Component.Hashes)
		if spoil(&broken); invalid(broken) == nil {
			t.Errorf("%s: a broken document is accepted: this check cannot fail", name)
		}
	}
}

var (
	serial = regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	hash   = regexp.MustCompile(`^[a-f0-9]{64}$`)
)

func invalid(doc sbom.Document) error {
	if doc.Format != "CycloneDX" || doc.Spec != "1.6" || doc.Version < 1 || !serial.MatchString(doc.Serial) {
		return errors.New("its head")
	}
	if _, err := time.Parse(time.RFC3339, doc.Metadata.Timestamp); err != nil {
		return err
	}
	refs := map[string]bool{}
	for _, c := range append([]sbom.Component{doc.Metadata.Component}, doc.Components...) {
		switch {
		case c.Type != "application" && c.Type != "library":
			return errors.New("type of " + c.Name)
		case c.Name == "" || c.Version == "" || !strings.HasPrefix(c.Package, "pkg:golang/") || refs[c.Ref]:
			return errors.New("name of " + c.Ref)
		case slices.ContainsFunc(c.Hashes, func(h sbom.Hash) bool { return h.Algorithm != "SHA-256" || !hash.MatchString(h.Content) }):
			return errors.New("hash of " + c.Name)
		case slices.ContainsFunc(c.Licenses, func(l sbom.License) bool { return (l.License == nil) == (l.Expression == "") }):
			return errors.New("licence of " + c.Name)
		}
		refs[c.Ref] = true
	}
	for _, d := range doc.Dependencies {
		for _, ref := range append(d.On, d.Ref) {
			if !refs[ref] {
				return errors.New("reference " + ref)
			}
		}
	}
	return nil
}

func TestDescribe_Refuses(t *testing.T) {
	t.Run("NoProgram", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "text")
		if err := os.WriteFile(file, []byte("no program"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := sbom.Describe(options(t, file)); err == nil {
			t.Error("a text was described")
		}
	})
	t.Run("NoModules", func(t *testing.T) {
		o := options(t, agent(t))
		o.Cache = t.TempDir()
		if _, err := sbom.Describe(o); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want that the files of modules are missing", err)
		}
	})
}

func TestRecognize(t *testing.T) {
	const bsd = "Redistribution and use in source and binary forms, with or without\nmodification, are permitted provided … reproduce the above copyright notice"
	for text, want := range map[string][]string{
		"": nil,
		"All rights reserved. Apache License Version 2.0, January 2004 is what we do not use": nil,
		bsd: {"BSD-2-Clause"},
		bsd + " may be used to endorse or promote products derived from":                                                                      {"BSD-3-Clause"},
		bsd + " all advertising materials must … used to endorse or promote products derived from":                                            nil,
		"Permission is hereby granted, free of charge, to any person obtaining a\n\tcopy … the above copyright notice":                        nil,
		"Permission is hereby granted, free of charge, to any person obtaining a copy, The above copyright notice and this permission notice": {"MIT"},
	} {
		if got := sbom.Recognize(text); !slices.Equal(got, want) {
			t.Errorf("%.60q: got %q, want %q", text, got, want)
		}
	}
}
