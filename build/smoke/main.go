// Command smoke looks at release binaries as a gateway would: is each one for the
// machine its name says, static, and does it run there?
//
//	go run ./build/smoke [-run] FILE...
//
// Files are named holdfast-linux-ARCH. Without -run only the file is inspected; with
// it, the binary is started on a processor of that kind, under user-mode emulation
// where this machine is of another, and has to say its version, accept a good
// configuration and refuse a bad one, naming the place.
//
// # Failure
//
// Every file is looked at; all that is wrong is printed and the exit code is 1.
//
// # Testing
//
// The tests build small programs for other machines, among them ones that are wrong
// in each of the ways looked for.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	run := flag.Bool("run", false, "start the binaries too")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: smoke [-run] FILE...")
		os.Exit(2)
	}
	if !lookAtAll(flag.Args(), *run) {
		os.Exit(1)
	}
}

// lookAtAll prints what there is to say of each file, and returns whether all are well.
func lookAtAll(files []string, run bool) bool {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	well := true
	for _, file := range files {
		facts, err := look(ctx, file, run)
		if err != nil {
			fmt.Fprintln(os.Stderr, "smoke:", err)
			well = false
			continue
		}
		fmt.Printf("smoke: %s: %s\n", file, facts)
	}
	return well
}
