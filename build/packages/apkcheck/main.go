// Command apkcheck installs, upgrades and removes a package of Alpine's kind in a folder,
// on a machine that has no apk: it is what the apk packages are tried with.
//
//	apkcheck index FOLDER
//	apkcheck -root FOLDER -repository FOLDER -arch x86_64 add|upgrade NAME
//	apkcheck -root FOLDER verify|del NAME
//
// A repository is a folder with a folder for each architecture, which holds packages under
// the names NAME-VERSION.apk and the index of them.
//
// It owns nothing of apk's format: apko, another's implementation of apk in Go, writes and
// reads the index, resolves what is wanted against it, takes packages apart, checks their
// sums, puts the files in place and keeps the database of what is installed. What apko has
// not stands here, after the ways of apk-tools: scripts run in the root with two arguments
// at most and a bare environment; below /etc what a person has changed stays, and what is
// new lies beside it under .apk-new; folders go once they are empty.
//
// It is a module of its own, so that nothing of apko is part of holdfast.
//
// # Failure
//
// A script that fails is said and changes nothing else, as with apk, and the exit code is 1.
// It knows roots in which one package is installed, and no triggers.
//
// # Testing
//
// build/packages/chroot uses it, and spoils packages and files to see that it notices.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := tidily(func() error { return run(ctx, os.Args[1:], os.Stdout) })
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "apkcheck:", err)
		os.Exit(1)
	}
}

// tidily removes what apko leaves where temporary files go.
func tidily(do func() error) error {
	dir, err := os.MkdirTemp("", "apkcheck-")
	if err != nil {
		return err
	}
	return errors.Join(os.Setenv("TMPDIR", dir), do(), os.RemoveAll(dir))
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	var s system
	flags := flag.NewFlagSet("apkcheck", flag.ContinueOnError)
	flags.StringVar(&s.root, "root", "", "folder to install in")
	flags.StringVar(&s.repository, "repository", "", "folder of architectures")
	flags.StringVar(&s.arch, "arch", "x86_64", "architecture, in Alpine's word")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s.out = stdout
	verb, name := flags.Arg(0), flags.Arg(1)
	verbs := map[string]func(context.Context, string) error{
		"add": s.add, "upgrade": s.upgrade, "verify": s.verify, "del": s.del,
	}
	switch {
	case flags.NArg() == 2 && verb == "index":
		return writeIndex(ctx, name, stdout)
	case flags.NArg() == 2 && verbs[verb] != nil && s.root != "":
		return verbs[verb](ctx, name)
	}
	return fmt.Errorf("cannot read %q: wanted is index FOLDER, or -root FOLDER add|upgrade|verify|del NAME", args)
}
