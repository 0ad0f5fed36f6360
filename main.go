// Command holdfast is an edge gateway agent that keeps its inference deadlines
// when the network does not hold. This file is the door: it takes the signals
// and hands everything else to the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"holdfast/edge/cli"
)

// Set by the linker: what this is, and when its source was committed in seconds
// since 1970, the oldest time there can be where it runs.
var (
	version = "dev"
	built   = ""
)

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
		Built:   builtAt(),
		Started: started,
		Reload:  onHangup,
	})
	stop()
	os.Exit(code)
}

func builtAt() time.Time {
	seconds, err := strconv.ParseInt(built, 10, 64)
	if err != nil {
		return time.Time{} // a build of no commit knows no time
	}
	return time.Unix(seconds, 0)
}

// onHangup delivers SIGHUP from now on. Only a verb that can reload asks for it;
// for the others a closed terminal stays the end.
func onHangup() <-chan os.Signal {
	reload := make(chan os.Signal, 1) // one pending reload says all that two would
	signal.Notify(reload, syscall.SIGHUP)
	return reload
}
