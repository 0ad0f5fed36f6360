// Command bench measures the whole agent on this machine, each figure beside a
// baseline taken in the same run, since machines differ and the same one is not
// the same a minute later. What only concerns the queue is measured by the
// scheduler's own Go benchmarks; `make bench` runs both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"holdfast/build/stand"
)

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", ".run/bench", "folder of the benchmark's state")
	flag.StringVar(&o.binary, "binary", "dist/holdfast", "the agent")
	flag.StringVar(&o.image, "image", "dist/images/digits.oci.tar", "the sample model's image")
	flag.StringVar(&o.tool, "tool", "dist/images/tool.oci.tar", "the image of the tool that is no server")
	flag.StringVar(&o.only, "only", "", "run one section: binary, start, memory, dispatch, container, oneshot, policy, link or steady, or serve, which is not among those run without this")
	flag.IntVar(&o.requests, "requests", 10000, "requests a side of the dispatch section")
	flag.IntVar(&o.containers, "containers", 30, "containers a side of the container and oneshot sections")
	o.serve.flags()
	route := flag.String("relay", "", "be a relay of the dispatch section, WAY=SOCKET=TARGET, and nothing else")
	flag.Parse()
	if *route != "" {
		exit(serveRelay(*route))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type options struct {
	dir, binary, image, tool, only string
	requests, containers           int
	serve                          serveOptions
}

// bench is one run.
type bench struct {
	options options
	stand   *stand.Stand
}

func run(ctx context.Context, o options) (err error) {
	if o.only == "serve" {
		return serve(ctx, o)
	}
	node, err := stand.Start(ctx, stand.Options{Dir: o.dir, Binary: o.binary, Compose: "build/bench/ten.yaml"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	b := &bench{options: o, stand: node}
	fmt.Printf("%-52s %12s %12s %10s %s\n", "figure", "measured", "baseline", "ratio", "goal")
	if err := b.prepare(ctx); err != nil {
		return err
	}
	for _, section := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"binary", b.binarySize},
		{"start", b.startToReady},
		{"memory", b.memory},
		{"dispatch", b.dispatch},
		{"container", b.container},
		{"oneshot", b.oneShot},
		{"policy", b.policy},
		{"link", b.link},
		{"steady", b.steady},
	} {
		if o.only != "" && o.only != section.name {
			continue
		}
		if err := section.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", section.name, err)
		}
	}
	return nil
}

// prepare brings the agent and its ten instances up.
func (b *bench) prepare(ctx context.Context) error {
	if err := b.stand.StartAgent(ctx); err != nil {
		return err
	}
	if err := b.stand.Import(ctx, b.options.image); err != nil {
		return err
	}
	return b.awaitInstances(ctx)
}

// row prints one figure; an empty baseline has no ratio.
func row(figure, measured, baseline string, ratio float64, goal string) {
	text := ""
	if ratio > 0 {
		text = fmt.Sprintf("%.2f×", ratio)
	}
	fmt.Printf("%-52s %12s %12s %10s %s\n", figure, measured, baseline, text, goal)
}
