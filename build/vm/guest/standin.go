package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/build/vm/order"
	"holdfast/edge"
)

// standIn does what `go build … -o FILE PACKAGE` would do with a package built before.
func standIn(args []string, built string) error {
	at := slices.Index(args, "-o")
	if len(args) < 4 || args[0] != "build" || at < 0 || at+1 >= len(args)-1 {
		return fmt.Errorf("cannot do go %s: in here it only builds, one package into a file: %w", strings.Join(args, " "), edge.ErrInvalid)
	}
	pkg, err := importPath(args[len(args)-1])
	if err != nil {
		return err
	}
	from := filepath.Join(built, filepath.FromSlash(pkg), order.Program)
	if err := hand(from, args[at+1]); err != nil {
		return fmt.Errorf("cannot hand out package %q: %w", pkg, err)
	}
	return nil
}

// importPath is the path of a package named from the working folder.
func importPath(name string) (string, error) {
	if name != "." && !strings.HasPrefix(name, "./") && !strings.HasPrefix(name, "../") {
		return name, nil
	}
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	wanted := filepath.Join(folder, filepath.FromSlash(name))
	for ; folder != "/"; folder = filepath.Dir(folder) {
		module, err := moduleAt(folder)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		below, err := filepath.Rel(folder, wanted)
		return path.Join(module, filepath.ToSlash(below)), err
	}
	return "", fmt.Errorf("cannot find the module of %q: %w", name, edge.ErrNotFound)
}

// moduleAt reads the name of the module whose root is a folder.
func moduleAt(folder string) (string, error) {
	file, err := os.Open(filepath.Join(folder, "go.mod"))
	if err != nil {
		return "", err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if name, found := strings.CutPrefix(lines.Text(), "module "); found {
			return strings.TrimSpace(name), nil
		}
	}
	return "", errors.Join(lines.Err(), edge.ErrInvalid)
}

// hand copies a program, making the folder it is to lie in, as the compiler does.
func hand(from, to string) (err error) {
	program, err := os.Open(from)
	if err != nil {
		return err
	}
	defer program.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, program)
	return err
}
