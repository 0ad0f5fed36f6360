package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/build/packages/manual"
	"holdfast/build/packages/sbom"
	"holdfast/edge/cli"
	"holdfast/edge/config"
)

//go:embed files
var files embed.FS

// stage is a folder of files that go into packages, before they are packed.
type stage struct {
	dir string
	at  time.Time // of the files in it: what packs them may look
}

func (s stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s stage) put(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	if err := os.WriteFile(s.path(name), content, 0o644); err != nil {
		return fmt.Errorf("cannot write file: %w", err)
	}
	if err := os.Chtimes(s.path(name), s.at, s.at); err != nil {
		return fmt.Errorf("cannot write file: %w", err)
	}
	return nil
}

// zip puts a file compressed, without a name or a time of its own.
func (s stage) zip(name string, content []byte) error {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return s.put(name+".gz", b.Bytes())
}

// fill puts what is the same for all architectures.
func (r *release) fill(ctx context.Context, s stage) error {
	entries, err := files.ReadDir("files")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		content, err := files.ReadFile("files/" + entry.Name())
		if err != nil {
			return err
		}
		if err := s.put(entry.Name(), content); err != nil {
			return err
		}
	}
	for _, page := range manual.Pages(cli.Describe(), r.version.Plain, r.at) {
		if err := s.zip("man/"+page.File(), []byte(page.Text)); err != nil {
			return err
		}
	}
	return errors.Join(
		s.put("config.yaml", []byte(sampleConfig(config.Keys()))),
		r.fillCompletions(ctx, s),
		r.fillChangelogs(s),
	)
}

// fillCompletions has the program write what the shells read.
func (r *release) fillCompletions(ctx context.Context, s stage) error {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, complaints bytes.Buffer
		code := cli.Main(ctx, cli.Process{Args: []string{"completion", shell}, Stdout: &out, Stderr: &complaints})
		if code != cli.ExitOK {
			return fmt.Errorf("cannot write completion for %s: %s", shell, &complaints)
		}
		if err := s.put("completion."+shell, out.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// fillChangelogs puts the project's changes, and Debian's own form of saying which version
// this is.
func (r *release) fillChangelogs(s stage) error {
	changes, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return fmt.Errorf("cannot read changes: %w", err)
	}
	debian := fmt.Sprintf("holdfast (%s) stable; urgency=medium\n\n  * What has changed stands in changelog.gz.\n\n -- %s  %s\n",
		r.version.Plain, maintainer, r.at.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	return errors.Join(s.zip("changelog", changes), s.zip("changelog.Debian", []byte(debian)))
}

// describe puts what one program is made of, and under which terms.
func (r *release) describe(s stage, a arch) error {
	doc, err := sbom.Describe(sbom.Options{
		Program: a.program, Version: r.version.Plain, At: r.at, Cache: r.cache, License: license,
	})
	if err != nil {
		return err
	}
	text, err := doc.Encode()
	if err != nil {
		return err
	}
	terms, err := sbom.Terms(a.program, r.cache)
	if err != nil {
		return err
	}
	return errors.Join(s.put(a.name+"/sbom.cdx.json", text), s.zip(a.name+"/third-party.txt", []byte(terms)))
}

// manuals are the pages that were put.
func (s stage) manuals() ([]string, error) {
	found, err := filepath.Glob(s.path("man/*.gz"))
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("cannot find manual pages in %q: %w", s.dir, err)
	}
	names := make([]string, 0, len(found))
	for _, path := range found {
		names = append(names, strings.TrimPrefix(path, s.path("man/")))
	}
	return names, nil
}
