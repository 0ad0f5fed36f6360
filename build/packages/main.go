// Command packages makes what a node is installed from: deb, rpm and apk packages for the
// shipped architectures, the document of what is in each program, and the sums of all.
//
//	go run ./build/packages -version "$(git describe --tags --always --dirty)" -epoch 1700000000 \
//	    amd64=dist/holdfast-linux-amd64 armv7=dist/holdfast-linux-armv7
//
// It owns the content of the packages: the unit and OpenRC's script, a configuration file
// that names every key, manual pages and completions written from the program's own verbs,
// and the scripts that run when a package comes, is replaced, and goes. The packing is
// nfpm's, which is told everything by a recipe.
//
// It promises the same bytes for the same programs, version and epoch, on any machine and
// at any time.
//
// # Failure
//
// Nothing is left under a package's name that is not whole; the exit code is 1.
//
// # Testing
//
// The tests take packages apart without nfpm's help. That they install, are replaced and
// go is tried in a Debian of its own and, of the apk, below OpenRC (build/packages/chroot),
// and with systemd and a model that answers meanwhile in a machine of its own (build/vm).
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"holdfast/build/packages/stamp"
	"holdfast/edge"
)

// options are the arguments.
type options struct {
	version string // as git describes it
	epoch   int64  // of everything that has a time, in seconds since 1970
	nfpm    string
	kinds   string // of packages, with commas between
	out     string
	root    string // of the checkout
	arches  []arch
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		if hint := edge.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	r, err := newRelease(ctx, o)
	if err != nil {
		return err
	}
	made, err := r.make(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, strings.Join(made, "\n"))
	return err
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("packages", flag.ContinueOnError)
	flags.StringVar(&o.version, "version", "", "as git describes the commit")
	flags.Int64Var(&o.epoch, "epoch", 0, "seconds since 1970, of everything that has a time")
	flags.StringVar(&o.nfpm, "nfpm", ".tools/bin/nfpm", "the program that packs")
	flags.StringVar(&o.kinds, "kinds", "deb,rpm,apk", "the kinds of packages")
	flags.StringVar(&o.out, "out", "dist/packages", "folder to make them in")
	flags.StringVar(&o.root, "root", ".", "the checkout")
	if err := flags.Parse(args); err != nil {
		return options{}, fmt.Errorf("cannot read arguments: %w", err)
	}
	for _, word := range flags.Args() {
		a, err := parseArch(word)
		if err != nil {
			return options{}, err
		}
		o.arches = append(o.arches, a)
	}
	if len(o.arches) == 0 || o.epoch <= 0 {
		return options{}, fmt.Errorf("cannot make packages: -epoch and at least one ARCH=PROGRAM are needed: %w", edge.ErrInvalid)
	}
	return o, nil
}

// arch is an architecture and the program for it.
type arch struct {
	name    string // ours, which nfpm turns into each packager's own
	nfpm    string
	program string
}

func parseArch(word string) (arch, error) {
	name, program, _ := strings.Cut(word, "=")
	known := map[string]string{"amd64": "amd64", "arm64": "arm64", "armv7": "arm7"}
	if known[name] == "" || program == "" {
		return arch{}, fmt.Errorf("cannot read %q: it is none of amd64=PROGRAM, arm64=PROGRAM, armv7=PROGRAM: %w", word, edge.ErrInvalid)
	}
	return arch{name, known[name], program}, nil
}

// release is one making of packages.
type release struct {
	options
	version stamp.Version
	at      time.Time
	cache   string // of Go's modules
}

func newRelease(ctx context.Context, o options) (*release, error) {
	at := time.Unix(o.epoch, 0).UTC()
	v, err := stamp.Parse(o.version, at)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(o.nfpm); err != nil {
		return nil, edge.WithHint(fmt.Errorf("cannot find nfpm: %w", err), "run build/provision/provision.sh --only packages")
	}
	cache, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("cannot find Go's module cache: %w", err)
	}
	return &release{o, v, at, strings.TrimSpace(string(cache))}, nil
}
