package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// notSame are the ends of names of files that are not the same again: rauc signs bundles with
// the time, and salts them.
var notSame = []string{".raucb"}

// compare holds two releases against each other, file by file.
func compare(one, two string, stdout io.Writer) error {
	names, err := namesIn(one, two)
	if err != nil {
		return err
	}
	var found error
	excused, same := false, 0
	for _, name := range names {
		a, errA := os.ReadFile(filepath.Join(one, name))
		b, errB := os.ReadFile(filepath.Join(two, name))
		switch {
		case errA != nil || errB != nil:
			found = errors.Join(found, errA, errB)
		case bytes.Equal(a, b):
			same++
		case slices.Contains(notSame, filepath.Ext(name)):
			excused = true
			fmt.Fprintf(stdout, "%s: differs, as two of its kind do\n", name)
		case excused && follows(name, a, b):
			fmt.Fprintf(stdout, "%s: differs by that alone\n", name)
		default:
			found = errors.Join(found, fmt.Errorf("%s: differs (%d and %d bytes)", name, len(a), len(b)))
		}
	}
	if found == nil {
		fmt.Fprintf(stdout, "%d files are the same, byte for byte\n", same)
	}
	return found
}

// follows tells whether sums differ in lines of excused files only, or are the signature of
// such sums.
func follows(name string, a, b []byte) bool {
	if name == signatureFile {
		return true // what it signs is compared before it, by name
	}
	return name == sumsFile && !slices.ContainsFunc(differing(a, b), func(line string) bool {
		return !slices.Contains(notSame, filepath.Ext(line))
	})
}

// namesIn are the names of files in either folder. What others follow from comes first.
func namesIn(folders ...string) ([]string, error) {
	var names []string
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, fmt.Errorf("cannot compare: %w", err)
		}
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if rank := rankOf(a) - rankOf(b); rank != 0 {
			return rank
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(names), nil
}

func rankOf(name string) int { return slices.Index([]string{sumsFile, signatureFile}, name) }
