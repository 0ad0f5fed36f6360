// Command guest is what the machine of `make vm` runs: the steps of its plan, one after
// another, telling what they print and how they end through a serial port. When all are over,
// or it cannot go on, its unit switches the machine off.
//
// Under the name of go it stands in for that program: a machine without compiler or network
// is asked by tests to build what the workshop has built before, and hands that out.
//
// # Failure
//
// A step that fails, hangs or cannot be run is told like any other, with what systemd has
// logged of the services meanwhile, and the next one is run. What cannot be built is an error
// of the stand-in, never an empty file.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"holdfast/build/vm/order"
)

// main holds the exit code.
func main() {
	var err error
	if filepath.Base(os.Args[0]) == "go" {
		err = standIn(os.Args[1:], order.Built)
	} else {
		err = work(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}
