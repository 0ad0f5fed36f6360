// Command reproduce builds what is shipped twice, as a stranger would who wants to know
// whether a program is what its source says: from two clones of the commit, in folders of
// other names, by this project's own make. The programs have to be the same, byte for byte.
//
//	go run ./build/packages/reproduce [-cold] ARCH...
//
// With -cold each build begins with nothing compiled, which takes minutes; without it Go's
// cache is used, which is keyed by everything that goes into a package: then what is linked
// is looked at, and that no path of this machine is in it.
//
// # Failure
//
// Programs that differ, and one that holds the name of the folder it was built in, are
// told, and the exit code is 1.
//
// # Testing
//
// The tests compare programs that differ and look for paths in one that was built without
// -trimpath.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	cold := flag.Bool("cold", false, "begin with nothing compiled")
	root := flag.String("root", ".", "the checkout")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := reproduce(ctx, *root, *cold, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "reproduce:", err)
		os.Exit(1)
	}
}

// errDiffers is what is to be found here.
var errDiffers = errors.New("the same commit gave another program")

func reproduce(ctx context.Context, root string, cold bool, arches []string) error {
	if len(arches) == 0 {
		return errors.New("no architecture is named")
	}
	dir, err := os.MkdirTemp("", "holdfast-reproduce-")
	if err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	// Of other lengths, in case a path is in a program where nobody looks.
	folders := []string{filepath.Join(dir, "a"), filepath.Join(dir, "somewhere", "else", "b")}
	for _, folder := range folders {
		if err := build(ctx, root, folder, cold, arches); err != nil {
			return err
		}
	}
	var failed []error
	for _, arch := range arches {
		name := "dist/holdfast-linux-" + arch
		sum, err := compare(filepath.Join(folders[0], name), filepath.Join(folders[1], name), dir)
		if err == nil {
			fmt.Printf("%s  holdfast-linux-%s\n", sum, arch)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// build makes a clone and has it build.
func build(ctx context.Context, root, folder string, cold bool, arches []string) error {
	if err := complete(exec.CommandContext(ctx, "git", "clone", "--quiet", "--shared", root, folder)); err != nil {
		return err
	}
	words := []string{"--no-print-directory"}
	for _, arch := range arches {
		words = append(words, "cross-"+arch)
	}
	cmd := exec.CommandContext(ctx, "make", words...)
	cmd.Dir, cmd.Env = folder, without(os.Environ(), "GOFLAGS", "MAKEFLAGS", "VERSION", "EPOCH")
	if cold {
		cmd.Env = append(cmd.Env, "GOCACHE="+filepath.Join(folder, ".cache"))
	}
	return complete(cmd)
}

// without takes variables away that would have a build differ from a stranger's.
func without(environ []string, names ...string) (left []string) {
	for _, entry := range environ {
		drop := false
		for _, name := range names {
			drop = drop || strings.HasPrefix(entry, name+"=")
		}
		if !drop {
			left = append(left, entry)
		}
	}
	return left
}

func complete(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot run %s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// compare returns the sum of two programs that are the same and name no folder.
func compare(one, two, folder string) (string, error) {
	a, err := os.ReadFile(one)
	if err != nil {
		return "", fmt.Errorf("cannot compare: %w", err)
	}
	b, err := os.ReadFile(two)
	if err != nil {
		return "", fmt.Errorf("cannot compare: %w", err)
	}
	if !bytes.Equal(a, b) {
		return "", fmt.Errorf("%s: %w", filepath.Base(one), errDiffers)
	}
	if bytes.Contains(a, []byte(folder)) {
		return "", fmt.Errorf("%s names the folder it was built in: %w", filepath.Base(one), errDiffers)
	}
	sum := sha256.Sum256(a)
	return hex.EncodeToString(sum[:]), nil
}
