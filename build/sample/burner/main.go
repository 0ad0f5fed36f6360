// Command burner is a model server whose work is known exactly: every request uses as
// much CPU time as it asks for, or as its model does, and nothing else. Measurements
// of the scheduler run on it, since what could be on time at most is exact there.
//
//	burner [-listen ADDRESS] [-check] -model NAME[=TIME] …
//
// A model with a TIME (19ms) burns that for every request, whatever comes in. One
// without takes a tensor ms, FP32 [1]: the milliseconds to burn. The answer is the
// tensor cpu_ms, FP32 [1]: what was burnt.
//
// With -check it asks the server that listens there whether it is ready, and exits
// with 0 or 1. It writes nothing but its socket and ends on SIGTERM after the requests
// in flight.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"holdfast/build/sample/serve"
)

// options are what the server is asked to be.
type options struct {
	listen string
	check  bool
	models []serve.Model
}

// main holds signals and exit codes.
func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		os.Exit(2) // the flag package has said why
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err = run(ctx, log, o)
	stop()
	if err != nil {
		log.Error("burner failed", "error", err)
		os.Exit(1)
	}
}

// parse reads the arguments.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("burner", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "unix:///run/model/model.sock", "address to listen on: unix:///path or tcp://host:port")
	flags.BoolVar(&o.check, "check", false, "ask the server listening there whether it is ready, and exit")
	flags.Func("model", "NAME, or NAME=TIME for a model that burns that much for every request; once for each", func(text string) error {
		m, err := parseModel(text)
		o.models = append(o.models, m)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if len(o.models) == 0 && !o.check {
		err := errors.New("no -model is given")
		fmt.Fprintln(flags.Output(), err)
		return o, err
	}
	return o, nil
}

func parseModel(text string) (*model, error) {
	name, burns, fixed := strings.Cut(text, "=")
	if name == "" {
		return nil, errors.New("a model needs a name")
	}
	m := &model{name: name, fixed: fixed}
	if !fixed {
		return m, nil
	}
	took, err := time.ParseDuration(burns)
	if err == nil && (took < 0 || took > most) {
		err = fmt.Errorf("%v is not from 0 to %v", took, most)
	}
	m.burns = took
	return m, err
}

// run serves, or asks whether somebody does.
func run(ctx context.Context, log *slog.Logger, o options) error {
	if o.check {
		return serve.Check(ctx, o.listen)
	}
	listener, err := serve.Listen(o.listen)
	if err != nil {
		return err
	}
	log.Info("burner listens", "address", o.listen)
	return serve.Run(ctx, listener, newHandler(o.models))
}
