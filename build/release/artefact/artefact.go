// Package artefact reads what the files of a release say of themselves: which version they
// are, for which machine, and which program lies in them. It uses nothing of what has
// made them.
//
// It promises that what it returns stands in the file; what a file does not say is empty.
// A program that lies in a package is known by the sum of its content, so that whoever
// compares knows more than that two files bear one version.
//
// # Concurrency
//
// Functions only; none keeps anything. Files are read into memory: none is above 100 MB but
// images of disks, which are read as they come.
//
// # Failure
//
// A file of another form, or one that ends early, is an error that names it.
//
// # Testing
//
// Packages that nfpm made, archives and images that are made in the tests, and each of them
// damaged.
package artefact

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Said is what a file says of itself.
type Said struct {
	Version string
	Arch    string // as its kind calls it
	Program string // the sum of /usr/bin/holdfast in it, in hexadecimal
}

// program is where the agent lies in everything that it is installed from.
const program = "usr/bin/holdfast"

// errForm is a file that is not what its name says.
var errForm = errors.New("it is of another form")

// Sum is the SHA-256 of a file, in hexadecimal.
func Sum(file string) (string, error) {
	opened, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("cannot sum: %w", err)
	}
	defer opened.Close()
	sum, err := sumOf(opened)
	if err != nil {
		return "", fmt.Errorf("cannot sum %q: %w", file, err)
	}
	return sum, nil
}

func sumOf(from io.Reader) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, from); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// sumIn is the sum of the program in an archive.
func sumIn(archive *tar.Reader) (string, error) {
	for {
		header, err := archive.Next()
		if err != nil {
			return "", fmt.Errorf("there is no %s in it: %w", program, err)
		}
		if strings.TrimLeft(header.Name, "./") == program {
			return sumOf(archive)
		}
	}
}

// drain reads what is left, so that what follows can be read.
func drain(from io.Reader) error {
	_, err := io.Copy(io.Discard, from)
	return err
}
