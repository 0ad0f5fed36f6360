// Command size shows what the device binary weighs and what each library adds to
// it, and holds both against the record in the repository, so that growth is a
// decision and not an accident.
//
//	go run ./build/size [-accept] [-package DIR] [-tags TAGS] [-record DIR]
//
// It owns the record: size.txt (the size of the stripped linux/amd64 binary, and the
// weights when it was accepted) and deps.txt (the modules linked into it). It
// promises to end with 1 when the binary grew by more than a hundredth, broke the
// budget, links a module that is not in the record or lacks one that is, or holds
// code that switches the linker's method elimination off, which costs megabytes.
//
// # Failure
//
// A build that fails ends the program with go build's own words. Nothing is written
// unless -accept is given.
//
// # Testing
//
// The tests build tiny modules of their own, one of them with text/template, which
// the guard must find; a record that is too small must fail.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	var o options
	flag.StringVar(&o.pkg, "package", ".", "the folder of the main package")
	flag.StringVar(&o.tags, "tags", "grpcnotrace,nethttpomithttp2", "build tags of the release")
	flag.StringVar(&o.record, "record", "build/size", "where size.txt and deps.txt are")
	flag.BoolVar(&o.accept, "accept", false, "write what was measured into the record")
	flag.Parse()
	problems, err := run(o, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "size:", err)
		os.Exit(1)
	}
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, "size:", problem)
	}
	if len(problems) > 0 {
		fmt.Fprintln(os.Stderr, "hint: if the growth is worth it, run make size-accept and say why in the commit")
		os.Exit(1)
	}
}

type options struct {
	pkg, tags, record string
	accept            bool
}

// run measures, prints, and returns what is wrong. Accepting makes the new size and
// modules right, but not a broken budget and not lost method elimination.
func run(o options, out io.Writer) ([]string, error) {
	measured, err := measure(o.pkg, o.tags)
	if err != nil {
		return nil, err
	}
	measured.print(out)
	problems := measured.limits()
	if o.accept {
		return problems, writeRecord(o.record, measured)
	}
	accepted, err := readRecord(o.record)
	if err != nil {
		return nil, err
	}
	return append(problems, accepted.compare(measured)...), nil
}
