package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"holdfast/build/stand"
	"holdfast/edge/load"
)

// serveOptions are what the serve section is asked for.
type serveOptions struct {
	image, compose string
	orders         string
	mix            string
	arrivals       string
	loads          string
	length, alone  time.Duration
	seed           uint64
	svg, json      string
	set            string
}

func (s *serveOptions) flags() {
	flag.StringVar(&s.image, "serve-image", "dist/images/burner.oci.tar", "image of the models of the serve section")
	flag.StringVar(&s.compose, "serve-compose", "build/bench/serve.yaml", "their workloads")
	flag.StringVar(&s.mix, "serve-mix", "servers", "kinds of tasks: servers, digits or a file")
	flag.StringVar(&s.orders, "orders", "fifo,priority,edf,edf-refuse,plan", "orders of the queue the serve section compares")
	flag.StringVar(&s.arrivals, "arrivals", "poisson,bursts", "arrivals of the serve section")
	flag.StringVar(&s.loads, "loads", "0.7,0.9,1.2", "loads of the serve section")
	flag.DurationVar(&s.length, "length", load.QuotableLength, "how long tasks arrive, for each order, kind of arrivals and load")
	flag.DurationVar(&s.alone, "alone", 2*time.Second, "how long each kind of task is measured alone")
	flag.Uint64Var(&s.seed, "seed", 1, "which tasks arrive when, the same for all orders")
	flag.StringVar(&s.svg, "svg", "", "file for a plot of the serve section")
	flag.StringVar(&s.json, "json", "", "file for all reports of the serve section")
	flag.StringVar(&s.set, "set", "", "further configuration of the serve section's agent: key=value,…")
}

// serve compares the orders of the same agent: for each an agent of its own, the same
// instances, and the same tasks at the same instants, sent by a generator that is a process
// of its own.
func serve(ctx context.Context, o options) (err error) {
	node, err := stand.Start(ctx, stand.Options{Dir: o.dir, Binary: o.binary, Compose: o.serve.compose})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	// What is dispatched must not wait for what runs: the agent is real-time, as is the
	// generator.
	node.Through("chrt", "-r", "1")
	if o.serve.set != "" {
		node.Configure(strings.Split(o.serve.set, ",")...)
	}
	var all []load.Report
	for i, order := range strings.Split(o.serve.orders, ",") {
		if err := node.StopAgent(ctx); err != nil {
			return err
		}
		if order != asIs {
			node.Configure("scheduler.order=" + order) // the last one said holds
		}
		if err := node.StartAgent(ctx); err != nil {
			return err
		}
		if i == 0 {
			if err := node.Import(ctx, o.serve.image); err != nil {
				return err
			}
		}
		if err := awaitAll(ctx, node); err != nil {
			return err
		}
		if err := weigh(node.Cgroup()); err != nil {
			return err
		}
		reports, err := generate(ctx, node, o, order)
		if err != nil {
			return err
		}
		all = append(all, reports...)
	}
	return o.serve.conclude(all)
}

// asIs names the order that the agent runs without being told.
const asIs = "default"

// awaitAll returns once every instance is ready: dozens take their time.
func awaitAll(ctx context.Context, node *stand.Stand) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return node.AwaitInstances(ctx)
}

// generate runs `holdfast bench serve` on the agent.
func generate(ctx context.Context, node *stand.Stand, o options, order string) ([]load.Report, error) {
	s := o.serve
	generator := exec.CommandContext(ctx, o.binary, "--address", node.Socket(), "-o", "json", "bench", "serve",
		"--order", order, "--mix", s.mix, "--arrivals", s.arrivals, "--load", s.loads,
		"--length", s.length.String(), "--alone", s.alone.String(), "--seed", fmt.Sprint(s.seed))
	var out, complaint bytes.Buffer
	generator.Stdout, generator.Stderr = &out, &complaint
	if err := generator.Run(); err != nil {
		return nil, fmt.Errorf("cannot generate load for order %q: %w: %s", order, err, complaint.Bytes())
	}
	var reports []load.Report
	if err := json.Unmarshal(out.Bytes(), &reports); err != nil {
		return nil, fmt.Errorf("cannot read reports of order %q: %w", order, err)
	}
	return reports, nil
}

// conclude prints the orders side by side and writes what was asked for.
func (s serveOptions) conclude(all []load.Report) error {
	slices.SortStableFunc(all, func(a, b load.Report) int {
		if by := strings.Compare(b.Arrivals, a.Arrivals); by != 0 {
			return by
		}
		return int(1e6 * (a.Load - b.Load))
	})
	fmt.Printf("seed %d, tasks arriving for %v\n%-9s %5s %-11s %8s %8s %7s %7s %9s %9s %10s %7s\n", s.seed, s.length,
		"arrivals", "load", "order", "of bound", "on time", "urgent", "sent", "urg. p99", "÷ alone", "refuse p99", "other")
	for _, r := range all {
		printServed(r)
	}
	if s.json != "" {
		text, err := json.MarshalIndent(all, "", "  ")
		if err == nil {
			err = os.WriteFile(s.json, append(text, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("cannot write reports: %w", err)
		}
	}
	if s.svg == "" {
		return nil
	}
	var plot bytes.Buffer
	if err := load.Plot(&plot, all); err != nil {
		return err
	}
	return os.WriteFile(s.svg, plot.Bytes(), 0o644)
}

func printServed(r load.Report) {
	urgent := r.Classes[0]
	other := "unknown"
	if r.Machine != nil {
		other = fmt.Sprintf("%.1f %%", 100*r.Machine.Other)
	}
	fmt.Printf("%-9s %5.2f %-11s %8.3f %8.3f %7.4f %7d %9s %9.2f %10s %7s\n", r.Arrivals, r.Load, r.Order, r.OfBound,
		float64(r.OnTime)/float64(r.Tasks), float64(urgent.OnTime)/float64(urgent.Submitted), r.Tasks,
		millis(urgent.Latency.P99), urgent.Stretch, micros(r.Refusals.P99), other)
	for _, doubt := range r.Doubts {
		fmt.Printf("%28s not to be quoted: %s\n", "", doubt)
	}
}
