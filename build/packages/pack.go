package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// make makes all packages in a folder beside the one they go to, and puts them there once
// all are whole. It returns their paths.
func (r *release) make(ctx context.Context) ([]string, error) {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make folder: %w", err)
	}
	dir, err := os.MkdirTemp("", "holdfast-packages-")
	if err != nil {
		return nil, fmt.Errorf("cannot make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	s, whole := stage{filepath.Join(dir, "stage"), r.at}, filepath.Join(dir, "whole")
	if err := errors.Join(os.Mkdir(whole, 0o755), r.fill(ctx, s)); err != nil {
		return nil, err
	}
	for _, a := range r.arches {
		if err := r.describe(s, a); err != nil {
			return nil, err
		}
		for kind := range strings.SplitSeq(r.kinds, ",") {
			if err := r.pack(ctx, s, a, kind, whole); err != nil {
				return nil, err
			}
		}
		name := "holdfast_" + r.version.Plain + "_" + a.name + ".cdx.json"
		if err := copyFile(s.path(a.name+"/sbom.cdx.json"), filepath.Join(whole, name)); err != nil {
			return nil, err
		}
	}
	return r.keep(whole)
}

// pack makes one package.
func (r *release) pack(ctx context.Context, s stage, a arch, kind, to string) error {
	if !slices.Contains([]string{"deb", "rpm", "apk"}, kind) {
		return fmt.Errorf("there is no kind of package %q", kind)
	}
	p, err := r.recipeFor(s, a, kind)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode recipe: %w", err)
	}
	name := a.name + "/" + kind + ".yaml"
	if err := s.put(name, text); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, r.nfpm, "package", "--config", s.path(name), "--packager", kind, "--target", to+"/")
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(r.epoch, 10), "TZ=UTC")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot pack %s for %s: %w\n%s", kind, a.name, err, out)
	}
	return nil
}

// keep puts whole files where they are wanted, with their sums; what an earlier run has
// made of other versions goes.
func (r *release) keep(whole string) ([]string, error) {
	entries, err := os.ReadDir(whole)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) == ".apk" {
			if err := orderApk(filepath.Join(whole, entry.Name())); err != nil {
				return nil, err
			}
		}
	}
	before, err := filepath.Glob(filepath.Join(r.out, `holdfast[_\-]*`))
	if err != nil {
		return nil, err
	}
	for _, path := range before {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot remove what was made before: %w", err)
		}
	}
	var made []string
	var sums strings.Builder
	for _, entry := range entries {
		from, to := filepath.Join(whole, entry.Name()), filepath.Join(r.out, entry.Name())
		if err := copyFile(from, to); err != nil {
			return nil, err
		}
		content, err := os.ReadFile(to)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum[:]), entry.Name())
		made = append(made, to)
	}
	path := filepath.Join(r.out, "SHA256SUMS")
	if err := os.WriteFile(path, []byte(sums.String()), 0o644); err != nil {
		return nil, fmt.Errorf("cannot write sums: %w", err)
	}
	return append(made, path), nil
}

// copyFile puts a copy in its place at once.
func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("cannot copy: %w", err)
	}
	half := to + ".new"
	if err := os.WriteFile(half, content, 0o644); err != nil {
		return fmt.Errorf("cannot copy: %w", err)
	}
	if err := os.Rename(half, to); err != nil {
		return fmt.Errorf("cannot copy: %w", err)
	}
	return nil
}
