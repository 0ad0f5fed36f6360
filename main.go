// Command holdfast is an edge gateway agent that keeps its inference deadlines
// when the network does not hold. This file is the door: it takes the signals
// and hands everything else to the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"holdfast/edge/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	started := time.Now()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, cli.Process{
		Args:    os.Args[1:],
		Environ: os.Environ(),
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Version: version,
		Started: started,
		Reload:  onHangup,
	})
	stop()
	os.Exit(code)
}

// onHangup delivers SIGHUP from now on. Only a verb that can reload asks for it;
// for the others a closed terminal stays the end.
func onHangup() <-chan os.Signal {
	reload := make(chan os.Signal, 1) // one pending reload says all that two would
	signal.Notify(reload, syscall.SIGHUP)
	return reload
}
