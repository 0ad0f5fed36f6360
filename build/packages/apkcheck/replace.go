package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// guarded is where a person's changes stay.
const guarded = "etc/"

// upgrade puts what the index has now in the place of what is installed.
func (s system) upgrade(ctx context.Context, name string) error {
	before, err := readInstalled(s.root, name)
	if err != nil {
		return err
	}
	stage, err := os.MkdirTemp(filepath.Dir(s.root), "apkcheck-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	next, err := s.place(ctx, name, stage)
	if err != nil {
		return err
	}
	if next.version == before.version {
		return fmt.Errorf("cannot upgrade %s: %s is the newest there is", name, before.version)
	}
	fmt.Fprintf(s.out, "(1/1) Upgrading %s (%s -> %s)\n", name, before.version, next.version)
	failed := s.script(ctx, next, ".pre-upgrade", next.version, before.version)
	for _, f := range next.files {
		if err := s.replace(f, before, stage); err != nil {
			return err
		}
	}
	if err := errors.Join(s.sweep(before, next), s.record(stage)); err != nil {
		return err
	}
	return errors.Join(failed, s.script(ctx, next, ".post-upgrade", next.version, before.version))
}

// replace moves a file from where it was made, unless a person has changed the one there.
func (s system) replace(f file, before *installed, stage string) error {
	from, to := filepath.Join(stage, f.name), filepath.Join(s.root, f.name)
	if f.dir {
		if err := os.Mkdir(to, f.mode.Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	}
	now := sumOf(to)
	if strings.HasPrefix(f.name, guarded) && now != "" && now != before.sum(f.name) {
		if now == f.sum {
			return nil
		}
		fmt.Fprintf(s.out, "%s stays; %s.apk-new is the package's\n", f.name, f.name)
		to += ".apk-new"
	}
	return os.Rename(from, to)
}

// sum is what a package has said a file has; empty if it has not that file.
func (p *installed) sum(name string) string {
	for _, f := range p.files {
		if f.name == name {
			return f.sum
		}
	}
	return ""
}

// sweep takes away what the package had and has no longer. Below /etc what a person has
// changed stays; a folder goes if nothing is in it.
func (s system) sweep(before, next *installed) error {
	var kept []string
	for _, f := range next.files {
		kept = append(kept, f.name)
	}
	for _, f := range slices.Backward(before.files) {
		at := filepath.Join(s.root, f.name)
		switch {
		case slices.Contains(kept, f.name):
		case f.dir:
			// Others' files keep it.
			if err := syscall.Rmdir(at); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
				return fmt.Errorf("cannot remove %q: %w", f.name, err)
			}
		case strings.HasPrefix(f.name, guarded) && sumOf(at) != f.sum:
		default:
			if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// record puts another's database in the place of this one.
func (s system) record(stage string) error {
	for _, name := range []string{database, scriptsFile} {
		if err := os.Rename(filepath.Join(stage, name), filepath.Join(s.root, name)); err != nil {
			return err
		}
	}
	return nil
}

// del removes the package.
func (s system) del(ctx context.Context, name string) error {
	p, err := readInstalled(s.root, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "(1/1) Purging %s (%s)\n", p.name, p.version)
	failed := s.script(ctx, p, ".pre-deinstall", p.version)
	if err := s.sweep(p, &installed{}); err != nil {
		return err
	}
	failed = errors.Join(failed, s.script(ctx, p, ".post-deinstall", p.version))
	return errors.Join(failed, os.Remove(filepath.Join(s.root, database)), os.Remove(filepath.Join(s.root, scriptsFile)))
}

// script runs a package's script for a moment, if it has one, in the root.
func (s system) script(ctx context.Context, p *installed, moment string, args ...string) error {
	text, there := p.scripts[moment]
	if !there {
		return nil
	}
	name := p.name + "-" + p.version + moment
	fmt.Fprintln(s.out, "Executing", name)
	at := filepath.Join(folder, "exec", name)
	outside := filepath.Join(s.root, at)
	if err := os.WriteFile(outside, text, 0o755); err != nil {
		return err
	}
	defer os.Remove(outside)
	cmd := exec.CommandContext(ctx, "/"+at, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: s.root}
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
