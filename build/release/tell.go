package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// tell says what was made and how anybody verifies it.
func (o options) tell(f facts, stdout io.Writer) error {
	entries, err := os.ReadDir(o.folder())
	if err != nil {
		return err
	}
	table, total := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight), int64(0)
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		total += info.Size()
		fmt.Fprintf(table, "%d\t  %s\n", info.Size(), entry.Name())
	}
	table.Flush()
	fmt.Fprintf(stdout, "%s: release %s, sequence %d, of commit %s: %d files, %.1f MiB\n", o.folder(), f.Version, f.Sequence, f.Commit, len(entries), float64(total)/(1<<20))
	f.warn(stdout)
	fmt.Fprintf(stdout, "verify: openssl pkeyutl -verify -rawin -pubin -inkey %s -in %s -sigfile %s && sha256sum --check --strict --quiet %s\n",
		publicFile, sumsFile, signatureFile, sumsFile)
	return nil
}

// warn says what the release must not be used for.
func (f facts) warn(stdout io.Writer) {
	if f.DeveloperSigned {
		fmt.Fprintf(stdout, "it is signed by a developer's key, made with a checkout. It is not for production\n")
	}
	if f.DeveloperImages {
		fmt.Fprintf(stdout, "its images trust a developer's keys, in %s. They are not for production\n", filepath.Join("dist", "gateway", "keys"))
	}
	if f.Changed {
		fmt.Fprintf(stdout, "it has changes that its commit has not: nobody can make it again\n")
	}
}
