package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"time"

	"holdfast/build/packages/stamp"
	"holdfast/edge"
)

// ready finds what would keep a release from being made before anybody has waited for it,
// and says what is to be built.
func (o options) ready(ctx context.Context) (facts, error) {
	if o.epoch <= 0 {
		return facts{}, fmt.Errorf("cannot release: -epoch is needed: %w", edge.ErrInvalid)
	}
	if _, err := stamp.Parse(o.version, time.Unix(o.epoch, 0).UTC()); err != nil {
		return facts{}, fmt.Errorf("cannot release: %w", err)
	}
	if _, err := os.Lstat(o.folder()); !errors.Is(err, fs.ErrNotExist) {
		return facts{}, edge.WithHint(fmt.Errorf("cannot release %s: %q is there already", o.version, o.folder()),
			"a version that was released stays as it is; remove the folder, or give OUT=folder and compare the two")
	}
	if err := o.trust.check(len(o.gateways) > 0); err != nil {
		return facts{}, err
	}
	f := facts{Version: o.version, Epoch: o.epoch, Go: goruntime.Version(), Sequence: o.sequence, Replaces: o.replaces, Gateways: []string{}}
	for _, name := range o.gateways {
		if _, err := machineOf(name); err != nil {
			return facts{}, err
		}
		f.Gateways = append(f.Gateways, name)
	}
	for _, m := range machines() {
		f.Programs = append(f.Programs, m.name)
	}
	if err := o.readNotes(&f); err != nil {
		return facts{}, err
	}
	err := o.readTree(ctx, &f)
	return f, err
}

func (o options) folder() string { return filepath.Join(o.out, o.version) }

func (o options) readNotes(f *facts) error {
	if o.notes == "" {
		return nil
	}
	text, err := os.ReadFile(o.notes)
	if err != nil {
		return fmt.Errorf("cannot read notes: %w", err)
	}
	f.Notes = strings.TrimSpace(string(text))
	return nil
}

// readTree says of which commit this is. Files that git does not know count as changes: Go
// compiles them all the same.
func (o options) readTree(ctx context.Context, f *facts) (err error) {
	if f.Commit, err = o.git(ctx, "rev-parse", "HEAD"); err != nil {
		return err
	}
	if o.commit != "" && o.commit != f.Commit {
		return fmt.Errorf("cannot release: the tree went from commit %s to %s while it was being built: %w", o.commit, f.Commit, edge.ErrInvalid)
	}
	changes, err := o.git(ctx, "status", "--porcelain")
	if err != nil {
		return err
	}
	f.Changed = changes != ""
	switch {
	case f.Changed && !o.changed:
		return edge.WithHint(fmt.Errorf("cannot release: the tree has changes that no commit has:\n%s", changes),
			"commit them or take them away; make release CHANGED=yes makes one whose version says so")
	case f.Changed && !strings.HasSuffix(f.Version, "-dirty"):
		return edge.WithHint(fmt.Errorf("cannot release: the tree has changes, and version %s does not say so:\n%s", f.Version, changes),
			"give VERSION="+f.Version+"-dirty")
	}
	if f.Sequence == 0 {
		f.Sequence, err = o.count(ctx)
	}
	return err
}

// count is how many commits there are up to this one: it grows with each.
func (o options) count(ctx context.Context) (uint64, error) {
	shallow, err := o.git(ctx, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return 0, err
	}
	if shallow != "false" {
		return 0, edge.WithHint(errors.New("cannot number the release: this clone has not all commits"), "git fetch --unshallow, or give SEQUENCE")
	}
	text, err := o.git(ctx, "rev-list", "--count", "HEAD")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(text, 10, 64)
}

func (o options) git(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", o.checkout}, args...)...).Output()
	if err != nil {
		return "", edge.WithHint(fmt.Errorf("cannot ask git %s: %w", strings.Join(args, " "), err), "releases are made in a checkout")
	}
	return strings.TrimRight(string(out), "\n"), nil
}
