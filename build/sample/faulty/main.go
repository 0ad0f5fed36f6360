// Command faulty is a model server that misbehaves on demand, for the tests of
// what has to live with such servers. Without flags it is a well-behaved one that
// burns exactly as much CPU time as each request asks for.
//
//	faulty [-listen ADDRESS] [-model NAME] [fault …]
//
// Arguments may also come from FAULTY in the environment, split at blanks, before
// those of the command line. See -help for the faults. The model takes any input;
// of a tensor ms (FP32 [1]) it takes the milliseconds of CPU time to burn.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"holdfast/build/sample/serve"
)

// faults are what to do wrong; the zero value is nothing.
type faults struct {
	listen, model string

	exitNow    bool          // before listening
	exitCode   int           // of every exit asked for here
	readyAfter time.Duration // listen only then
	neverReady bool
	ignoreTerm bool
	forks      int // children that only wait

	burn      time.Duration // CPU time of every request, beside what it asks for
	eat       int           // MiB that every request takes and keeps
	hang      bool          // until the caller has gone
	garbage   string
	exitAfter int // requests answered before the next one ends the process; -1 none

	hoard bool // takes memory for as long as it gets some, and serves nobody
	spin  int  // keeps so many threads busy, and serves nobody
}

// main holds signals and exit codes.
func main() {
	if len(os.Args) == 2 && os.Args[1] == childArg {
		waitForever()
	}
	f, err := parse(slices.Concat(strings.Fields(os.Getenv("FAULTY")), os.Args[1:]))
	if err != nil {
		os.Exit(2) // the flag package has said why
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	if f.ignoreTerm {
		ctx = context.Background()
	}
	if f.exitNow {
		log.Error("faulty server was told to exit", "code", f.exitCode)
		os.Exit(f.exitCode)
	}
	err = run(ctx, log, f)
	stop()
	if err != nil {
		log.Error("faulty server failed", "error", err)
		os.Exit(1)
	}
}

// parse reads the arguments.
func parse(args []string) (faults, error) {
	var f faults
	flags := flag.NewFlagSet("faulty", flag.ContinueOnError)
	flags.StringVar(&f.listen, "listen", "unix:///run/model/model.sock", "address to listen on: unix:///path or tcp://host:port")
	flags.StringVar(&f.model, "model", "faulty", "name of the model served")
	flags.BoolVar(&f.exitNow, "exit-now", false, "exit before listening")
	flags.IntVar(&f.exitCode, "exit-code", 1, "exit code for -exit-now and -exit-after")
	flags.DurationVar(&f.readyAfter, "ready-after", 0, "listen only after so long")
	flags.BoolVar(&f.neverReady, "never-ready", false, "listen and never be ready")
	flags.BoolVar(&f.ignoreTerm, "ignore-term", false, "ignore SIGTERM")
	flags.IntVar(&f.forks, "fork", 0, "start so many children that only wait")
	flags.DurationVar(&f.burn, "burn", 0, "CPU time every request burns, beside what it asks for")
	flags.IntVar(&f.eat, "eat", 0, "MiB of memory every request takes and keeps")
	flags.BoolVar(&f.hang, "hang", false, "never answer a request")
	flags.StringVar(&f.garbage, "garbage", "", "answer with garbage: "+strings.Join(garbageKinds(), ", "))
	flags.IntVar(&f.exitAfter, "exit-after", -1, "answer so many requests; the next one ends the process unanswered")
	flags.BoolVar(&f.hoard, "hoard", false, "take memory for as long as there is some, and serve nobody")
	flags.IntVar(&f.spin, "spin", 0, "keep so many threads busy, and serve nobody")
	if err := flags.Parse(args); err != nil {
		return f, err
	}
	if f.garbage != "" && !slices.Contains(garbageKinds(), f.garbage) {
		err := fmt.Errorf("there is no garbage %q", f.garbage)
		fmt.Fprintln(flags.Output(), err)
		return f, err
	}
	return f, nil
}

// run serves with faults.
func run(ctx context.Context, log *slog.Logger, f faults) error {
	if err := fork(f.forks); err != nil {
		return err
	}
	if !wait(ctx, f.readyAfter) {
		return nil
	}
	if f.hoard || f.spin > 0 {
		f.hog(ctx)
		return nil
	}
	listener, err := serve.Listen(f.listen)
	if err != nil {
		return err
	}
	log.Info("faulty server listens", "address", f.listen)
	return serve.Run(ctx, listener, newHandler(f))
}

// wait reports whether so long has passed before ctx ended.
func wait(ctx context.Context, long time.Duration) bool {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
