// Command release puts together what is handed on of one version: programs, packages,
// images, documents of what is in them, the release that `holdfast update` takes, the sums
// of all, and a signature of those. It is the last step of `make release`, which builds them.
//
//	release ready   -version V -epoch E …    may a release of this be made?
//	release make    -version V -epoch E …    gather what was built, sign it, check it
//	release sign    FOLDER -key K -root R    sign it anew, with keys that the builder never sees
//	release check   FOLDER [-root R]         does every file say the same, and is it signed?
//	release compare FOLDER FOLDER            are two of them the same, byte for byte?
//
// It owns the folder dist/release/VERSION, its names, and holdfast-build.json, which says what
// was built of which commit. The files themselves are other tools'.
//
// It promises that a folder with a version's name is whole and was checked: it gets the name
// last. A folder that is there is never changed but by sign. The same commit, keys and Debian
// give the same bytes, but for rauc's bundle, which rauc signs with the time.
//
// # Concurrency
//
// One at a time makes a version; two would find each other's folder.
//
// # Failure
//
// A tree with changes, and keys that nodes would not believe, are refused before anything is
// built. All that is wrong with a release is told, not the first of it; the exit code is 1.
//
// # Testing
//
// A small release of programs that only say their version is made with nfpm and checked; then
// each file in turn is made to say another version, or to hold another program, and has to be
// found.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"holdfast/edge"
)

// options are the arguments.
type options struct {
	checkout string
	out      string // where releases lie
	version  string // as git describes the commit
	commit   string // that make began to build; empty: whichever is there
	epoch    int64  // of everything that has a time, in seconds since 1970
	sequence uint64 // 0: as many as there are commits
	replaces uint64
	notes    string   // a file
	gateways []string // the kinds of machines whose images belong to it
	changed  bool     // a tree with changes will do
	trust    trusted
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		if hint := edge.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	var folders []string
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		folders, args = append(folders, args[0]), args[1:]
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	switch {
	case verb == "ready" && len(folders) == 0:
		_, err := o.ready(ctx)
		return err
	case verb == "make" && len(folders) == 0:
		return o.make(ctx, stdout)
	case verb == "sign" && len(folders) == 1:
		return o.signAnew(ctx, folders[0], stdout)
	case verb == "check" && len(folders) == 1:
		return o.check(ctx, folders[0], stdout)
	case verb == "compare" && len(folders) == 2:
		return compare(folders[0], folders[1], stdout)
	}
	return edge.WithHint(fmt.Errorf("cannot do %q with %d folders: %w", verb, len(folders), edge.ErrInvalid),
		"ready, make, sign FOLDER, check FOLDER or compare FOLDER FOLDER; flags come last")
}

func parse(args []string) (options, error) {
	var o options
	var gateways, keys string
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.StringVar(&o.checkout, "checkout", ".", "the checkout")
	flags.StringVar(&o.out, "out", "", "folder of releases (default dist/release)")
	flags.StringVar(&o.version, "version", "", "as git describes the commit")
	flags.StringVar(&o.commit, "commit", "", "the commit that was to be built; another one in the checkout is refused")
	flags.Int64Var(&o.epoch, "epoch", 0, "seconds since 1970, of everything that has a time")
	flags.Uint64Var(&o.sequence, "sequence", 0, "number of the release, higher than of any before (default: how many commits there are)")
	flags.Uint64Var(&o.replaces, "replaces", 0, "lowest sequence it may take the place of")
	flags.StringVar(&o.notes, "notes", "", "file with what there is to say of it")
	flags.StringVar(&gateways, "gateways", "", "kinds of machines whose images belong to it, with blanks between")
	flags.BoolVar(&o.changed, "changed", false, "make one of a tree that has changes, if its version says so")
	flags.StringVar(&keys, "key", "", "private keys of the role release, with blanks between; the first signs the sums too (default: a developer's)")
	flags.StringVar(&o.trust.root, "root", "", "the root document that names them")
	flags.StringVar(&o.trust.policy, "factory-policy", "", "what gateways' images were told to begin with; it says that they do not trust a developer")
	flags.StringVar(&o.trust.keyring, "keyring", "", "certificates of whoever signs whole systems")
	if err := flags.Parse(args); err != nil {
		return options{}, fmt.Errorf("cannot read arguments: %w", err)
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("cannot read argument %q: %w", flags.Arg(0), edge.ErrInvalid)
	}
	if o.out == "" {
		o.out = o.dist("release")
	}
	o.gateways, o.trust.keys = strings.Fields(gateways), strings.Fields(keys)
	return o, nil
}

// dist is where the other tools put what they make.
func (o options) dist(names ...string) string {
	return filepath.Join(append([]string{o.checkout, "dist"}, names...)...)
}
