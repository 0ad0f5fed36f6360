// Command image packs static binaries as a multi-platform OCI image archive:
//
//	go run ./build/image -name example.local/holdfast/digits:1 -entry /server -user 65532:65532 \
//	    -binary linux/amd64=dist/server-amd64 -binary linux/arm/v7=dist/server-armv7 \
//	    -out dist/images/digits.oci.tar
//
// The same files give the same bytes. It prints the name and the digest.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"holdfast/build/image/oci"
)

// main holds the exit code.
func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// targets are where an image is written.
type targets struct {
	archive, layout string
}

// run does what the arguments say.
func run(args []string, stdout io.Writer) error {
	spec, to, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	index, err := oci.Build(spec)
	if err != nil {
		return err
	}
	if to.layout != "" {
		if _, err := oci.WriteLayout(to.layout, spec.Name, index); err != nil {
			return err
		}
	}
	if to.archive != "" {
		if _, err := oci.WriteArchive(to.archive, spec.Name, index); err != nil {
			return err
		}
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s@%s\n", spec.Name, digest)
	return err
}

// parse reads the arguments, or prints what there is to give.
func parse(args []string, stdout io.Writer) (oci.Spec, targets, error) {
	spec := oci.Spec{Binaries: map[string]string{}, Labels: map[string]string{}, Dirs: map[string]string{}}
	var to targets
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are printed once, by main
	flags.StringVar(&spec.Name, "name", "", "name with domain and tag: example.local/holdfast/digits:1")
	flags.StringVar(&spec.User, "user", "65532:65532", "numeric user and group")
	flags.StringVar(&to.archive, "out", "", "archive to write")
	flags.StringVar(&to.layout, "layout", "", "folder to write an OCI image layout into")
	flags.Func("entry", "command line, split at blanks; its first word is where the binary goes", func(text string) error {
		spec.Entry = strings.Fields(text)
		return nil
	})
	flags.Func("command", "words after the command line where nobody says others, split at blanks", func(text string) error {
		spec.Command = strings.Fields(text)
		return nil
	})
	flags.Func("binary", "platform=file, once for each platform", pairInto(spec.Binaries, "="))
	flags.Func("label", "key=value", pairInto(spec.Labels, "="))
	flags.Func("dir", "folder:/in/image to copy", pairInto(spec.Dirs, ":"))
	flags.Func("mkdir", "empty folder the user may write to", appendTo(&spec.Mkdirs))
	flags.Func("env", "KEY=value", appendTo(&spec.Env))
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stdout)
		flags.PrintDefaults()
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("cannot use argument %q", flags.Arg(0))
	case to.archive == "" && to.layout == "":
		err = errors.New("nowhere to write to: give -out or -layout")
	}
	return spec, to, err
}

// pairInto parses one key and value.
func pairInto(pairs map[string]string, separator string) func(string) error {
	return func(text string) error {
		key, value, ok := strings.Cut(text, separator)
		if !ok || key == "" || value == "" {
			return fmt.Errorf("%q is no pair around %q", text, separator)
		}
		if _, there := pairs[key]; there {
			return fmt.Errorf("%q is given twice", key)
		}
		pairs[key] = value
		return nil
	}
}

// appendTo collects a repeated flag.
func appendTo(list *[]string) func(string) error {
	return func(text string) error {
		*list = append(*list, text)
		return nil
	}
}
