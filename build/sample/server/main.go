// Command server is the sample model server: handwritten digits, recognised by a
// full model (digits) and a cheap one (digits-lite), behind the Open Inference
// Protocol on a unix socket or a TCP port.
//
//	server [-listen unix:///run/model/model.sock] [-check]
//
// LISTEN in the environment is the default of -listen. With -check it asks the
// server that listens there whether it is ready, and exits with 0 or 1.
//
// It writes nothing but its socket, needs no network and no particular user, and
// ends on SIGTERM after the requests in flight.
package main

import (
	"cmp"
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"holdfast/build/sample/serve"
)

// defaultListen is where the container's own folder for the socket is mounted.
const defaultListen = "unix:///run/model/model.sock"

// main holds what cannot be tested inside a process: flags, signals, exit codes.
func main() {
	listen := flag.String("listen", cmp.Or(os.Getenv("LISTEN"), defaultListen), "address to listen on: unix:///path or tcp://host:port")
	check := flag.Bool("check", false, "ask the server listening there whether it is ready, and exit")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	run := serveModels
	if *check {
		run = func(ctx context.Context, _ *slog.Logger, address string) error { return serve.Check(ctx, address) }
	}
	err := run(ctx, log, *listen)
	stop()
	if err != nil {
		log.Error("model server failed", "error", err)
		os.Exit(1)
	}
}

// serveModels opens the models before the socket, so that listening is readiness.
func serveModels(ctx context.Context, log *slog.Logger, address string) error {
	handler, err := newHandler()
	if err != nil {
		return err
	}
	listener, err := serve.Listen(address)
	if err != nil {
		return err
	}
	log.Info("model server ready", "address", address)
	return serve.Run(ctx, listener, handler)
}
