// Command gateway makes images of disks for gateways: Debian, containerd, the agent with a
// signed policy and a first model, in a system that is only ever read, twice, with a
// partition beside it for what is kept. It also proves them, by starting them in an emulated
// machine whose power fails.
//
//	go run ./build/gateway make -arch amd64 -program dist/holdfast-linux-amd64 -version v1.2.3 -epoch 1700000000
//	go run ./build/gateway boot -arch amd64
//	go run ./build/gateway boot -arch amd64 -fleet
//
// It owns the layout of the disk, what starts before systemd does, and the units beside the
// agent's own. Debian's packages are unpacked once, below .tools/gateway; each image is made
// of a copy by links. Nothing is mounted.
//
// It promises the same bytes for the same programs, packages, keys, version and epoch; what
// Debian's packages make of themselves otherwise stands in docs/gateway.md.
//
// # Concurrency
//
// One works for a kind of machine at a time; a lock says so.
//
// # Failure
//
// The exit code is 1 where an image cannot be made or was not proved, and 130 if it was
// interrupted, in which case the machine is ended too. A machine's console is kept beside
// the image.
//
// # Testing
//
// The tests read the table of a disk that was made, archives and lists, and the units as
// systemd does; a script stands in for QEMU. The proof itself has its own controls.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"holdfast/edge"
)

// options are the arguments.
type options struct {
	root         string // of the checkout
	out          string
	arch         string
	program      string // the agent
	version      string
	epoch        int64  // of everything that has a time, in seconds since 1970
	sources      string // of Debian's packages
	images       string
	rootDocument string
	policy       string
	keyring      string
	words        string // told to the kernel beside the usual ones
	proof        proofOptions
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "gateway: interrupted")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "gateway:", err)
		if hint := edge.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	if verb == "forward" {
		return forward(ctx, args)
	}
	works := map[string]func(*place, context.Context, options) error{"make": (*place).make, "boot": (*place).prove, "bundle": (*place).bundle}
	work := works[verb]
	if work == nil {
		return fmt.Errorf("cannot do %q: it is none of make, bundle, boot: %w", verb, edge.ErrInvalid)
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	a, err := archOf(o.arch)
	if err != nil {
		return err
	}
	p, err := open(o, a)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // only a lock, which this process ends with
	return work(p, ctx, o)
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.StringVar(&o.root, "root", ".", "the checkout")
	flags.StringVar(&o.out, "out", "", "folder to make images in, and where a developer's keys are (default dist/gateway)")
	flags.StringVar(&o.arch, "arch", "amd64", "the kind of machine: amd64, arm64 or armv7")
	flags.StringVar(&o.program, "program", "", "the agent for it (default dist/holdfast-linux-ARCH)")
	flags.StringVar(&o.version, "version", "dev", "as git describes the commit")
	flags.Int64Var(&o.epoch, "epoch", 0, "seconds since 1970, of everything that has a time")
	flags.StringVar(&o.sources, "sources", "", "a list of sources, as in /etc/apt/sources.list.d, to unpack Debian's packages from (default: Debian's own mirrors)")
	flags.StringVar(&o.images, "images", "", "the folder with the sample model's archive (default dist/images)")
	flags.StringVar(&o.rootDocument, "root-document", "", "whom the gateways trust (default: a developer's keys, made once)")
	flags.StringVar(&o.policy, "factory-policy", "", "the signed policy they begin with")
	flags.StringVar(&o.keyring, "keyring", "", "certificates, as PEM, of whoever signs whole systems for them")
	flags.StringVar(&o.words, "words", "", "what the kernel is told beside the usual")
	o.proof.flags(flags)
	if err := flags.Parse(args); err != nil {
		return options{}, fmt.Errorf("cannot read arguments: %w", err)
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("cannot read argument %q: %w", flags.Arg(0), edge.ErrInvalid)
	}
	root, err := filepath.Abs(o.root)
	if err != nil {
		return options{}, errors.Join(edge.ErrInvalid, err)
	}
	if o.program == "" {
		o.program = filepath.Join(root, "dist/holdfast-linux-"+o.arch)
	}
	if o.images == "" {
		o.images = filepath.Join(root, "dist/images")
	}
	return o, nil
}
