// Command tool is a tool that is no server: it reads samples of handwritten digits, holds a
// model against what they are, writes how often it was right, and ends. It is what
// docs/oneshot.md runs as a container for each task.
//
//	tool report [-model digits] [-from FILE] [-to FILE]
//	tool misbehave hang|fail|flood
//
// Samples come as testdata/digits/heldout.csv has them: a number, the digit and 64 pixels.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// errUsage is an error of whoever called, who has been told.
var errUsage = errors.New("usage: tool report [-model NAME] [-from FILE] [-to FILE], or tool misbehave hang|fail|flood")

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := errUsage
	if len(args) > 0 && args[0] == "report" {
		err = report(args[1:], stdin, stdout)
	}
	if len(args) == 2 && args[0] == "misbehave" {
		err = misbehave(args[1], stdout)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, err)
		return exitUsage
	default:
		fmt.Fprintln(stderr, "tool:", err)
		return exitFailed
	}
}

// report reads samples and writes what a model makes of them.
func report(args []string, stdin io.Reader, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	model := flags.String("model", "digits", "digits or digits-lite")
	from := flags.String("from", "", "file with the samples; standard input where none is given")
	to := flags.String("to", "", "file for the report; standard output where none is given")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return errUsage
	}
	if *from != "" {
		file, err := os.Open(*from)
		if err != nil {
			return err
		}
		defer file.Close()
		stdin = file
	}
	if *to != "" {
		file, err := os.Create(*to)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		stdout = file
	}
	return examine(*model, stdin, stdout)
}

// misbehave does what no tool should.
func misbehave(how string, stdout io.Writer) error {
	switch how {
	case "hang":
		for {
			time.Sleep(time.Hour)
		}
	case "fail":
		return errors.New("it fails, as it was asked to")
	case "flood":
		text := make([]byte, 64<<10)
		for {
			if _, err := stdout.Write(text); err != nil {
				return err
			}
		}
	}
	return errUsage
}
