package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"chainguard.dev/apko/pkg/apk/apk"
	"chainguard.dev/apko/pkg/apk/expandapk"
	apkfs "chainguard.dev/apko/pkg/apk/fs"
)

// system is a folder that packages are installed in, and where they come from.
type system struct {
	root, repository, arch string
	out                    io.Writer
}

// add installs a package in a root that has none.
func (s system) add(ctx context.Context, name string) error {
	if _, err := os.Stat(filepath.Join(s.root, database)); err == nil {
		return fmt.Errorf("cannot add %q: something is installed in %q; upgrade it", name, s.root)
	}
	p, err := s.place(ctx, name, s.root)
	if err != nil {
		return err
	}
	if _, there := p.scripts[".pre-install"]; there {
		return fmt.Errorf("cannot add %q: its script for before comes too late here", name)
	}
	fmt.Fprintf(s.out, "(1/1) Installing %s (%s)\n", p.name, p.version)
	return s.script(ctx, p, ".post-install", p.version)
}

// place has apko resolve a package against the index and install it in an empty root, and
// holds what is there then against what the index and the package say.
func (s system) place(ctx context.Context, name, root string) (*installed, error) {
	a, err := apk.New(ctx, apk.WithFS(apkfs.DirFS(ctx, root)), apk.WithArch(s.arch), apk.WithIgnoreIndexSignatures(true))
	if err != nil {
		return nil, err
	}
	err = errors.Join(a.InitDB(ctx), a.SetRepositories(ctx, []string{s.repository}), a.SetWorld(ctx, []string{name}))
	if err != nil {
		return nil, fmt.Errorf("cannot prepare %q: %w", root, err)
	}
	chosen, conflicts, err := a.ResolveWorld(ctx)
	if err != nil || len(chosen) != 1 || len(conflicts) != 0 {
		return nil, fmt.Errorf("cannot resolve %q: %d packages, conflicts %q: %w", name, len(chosen), conflicts, err)
	}
	if err := intact(ctx, a, chosen[0]); err != nil {
		return nil, err
	}
	if _, err := a.FixateWorld(ctx, nil); err != nil {
		return nil, fmt.Errorf("cannot install %q: %w", name, err)
	}
	p, err := readInstalled(root, name)
	if err != nil {
		return nil, err
	}
	if p.identity != chosen[0].ChecksumString() {
		return nil, fmt.Errorf("%s has the identity %s, and %s in the index", name, p.identity, chosen[0].ChecksumString())
	}
	return p, errors.Join(p.wrong(root)...)
}

// intact holds the two sums that are not of single files: that of what the package says of
// itself against the index, and that of all its files against what it says.
func intact(ctx context.Context, a *apk.APK, p *apk.RepositoryPackage) (err error) {
	from, err := a.FetchPackage(ctx, p)
	if err != nil {
		return err
	}
	defer from.Close()
	whole, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	expanded, err := expandapk.ExpandApk(ctx, bytes.NewReader(whole), "")
	if err != nil {
		return fmt.Errorf("cannot take %q apart: %w", p.Filename(), err)
	}
	defer func() { err = errors.Join(err, expanded.Close()) }()
	if !bytes.Equal(expanded.ControlHash, p.Checksum) {
		return fmt.Errorf("%s says of itself what has the sum %x, and %x in the index", p.Filename(), expanded.ControlHash, p.Checksum)
	}
	about, _, err := apk.ParsePackageInfo(bytes.NewReader(whole))
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(expanded.PackageHash); len(sum) != 2*sha256.Size || sum != about.DataHash {
		return fmt.Errorf("the files of %s have the sum %s, and it says %s", p.Filename(), sum, about.DataHash)
	}
	return nil
}

// verify holds the files of a package against the database.
func (s system) verify(_ context.Context, name string) error {
	p, err := readInstalled(s.root, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s-%s: %d files\n", p.name, p.version, len(p.files))
	return errors.Join(p.wrong(s.root)...)
}
