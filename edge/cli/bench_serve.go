package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/edge/load"
	"holdfast/scheduler/sim"
)

// benchServe is what `bench serve` was asked for.
type benchServe struct {
	options  load.Options
	arrivals arrivalFlags
	kinds    []string
	mix      string
	plot     string
}

func (d *door) benchServeVerb() *cobra.Command {
	b := &benchServe{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Send a running agent tasks at scheduled instants and report what became of them",
		Long: "Send a running agent tasks at scheduled instants and report what became of them.\n\n" +
			"Tasks are sent at their instants however many are open, in the manner of the server scenario of MLPerf\n" +
			"inference benchmarks; the figures are no results of theirs. Latency counts from the scheduled instant. The same seed gives\n" +
			"the same tasks. First each kind of task is measured alone, which is when the node should have nothing else to do.\n\n" +
			"A kind of task is MODEL[*ROWS]=CLASS:DEADLINE[-DEADLINE]:SHARE[:WORK], and a mix a file with one a line. WORK is\n" +
			"for models that burn as much CPU time as they are asked to: there the bound is exact. Elsewhere it counts with\n" +
			"the median of what the kind took alone.",
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.benchServe(cmd, b) },
	}
	o, flags := &b.options, cmd.Flags()
	flags.StringArrayVar(&b.kinds, "task", nil, "a kind of task; may be repeated (default: a mix that suits the models the node serves)")
	flags.StringVar(&b.mix, "mix", "", "kinds of tasks: a file, or servers or digits for the mixes of that name")
	b.arrivals.add(flags)
	flags.Float64SliceVar(&o.Loads, "load", []float64{0.7, 0.9, 1.2}, "work that arrives in a second ÷ the node's slots")
	flags.DurationVar(&o.Length, "length", load.QuotableLength, "how long tasks arrive, for each kind of arrivals and load")
	flags.Uint64Var(&o.Seed, "seed", 1, "which tasks arrive when")
	flags.Float64Var(&o.Noise, "noise", sim.DefaultNoise, "spread of the work of tasks that name theirs, log-normal")
	flags.DurationVar(&o.Alone, "alone", 2*time.Second, "how long each kind of task is measured alone")
	flags.StringVar(&o.Order, "order", "agent", "what the report calls the order the agent runs")
	flags.StringVar(&o.Tenant, "tenant", "", "who the tasks are accounted to")
	flags.StringVar(&b.plot, "svg", "", "write an SVG of tasks on time against load to this file")
	return cmd
}

func (d *door) benchServe(cmd *cobra.Command, b *benchServe) error {
	if err := b.prepare(d.address); err != nil {
		return usageError{err}
	}
	b.options.Hurried = load.Hurry() == nil // else the report says that it was not
	generator, err := load.New(b.options)
	if err != nil {
		return err
	}
	defer generator.Close()
	reports := []load.Report{}
	err = generator.Run(cmd.Context(), func(r load.Report) error {
		reports = append(reports, r)
		if d.output == "json" {
			return nil // they make one document
		}
		return printLoad(d.printer(), r)
	})
	if err != nil {
		return err
	}
	if b.plot != "" {
		if err := writePlot(b.plot, func(w io.Writer) error { return load.Plot(w, reports) }); err != nil {
			return err
		}
	}
	if d.output == "json" {
		return d.printer().JSON(reports)
	}
	return nil
}

// prepare turns names into what they stand for.
func (b *benchServe) prepare(address string) (err error) {
	b.options.Address = address
	if b.options.Kinds, err = b.chooseKinds(); err != nil {
		return err
	}
	b.options.Arrivals, err = b.arrivals.choose()
	return err
}

func (b *benchServe) chooseKinds() (kinds []load.Kind, err error) {
	switch b.mix {
	case "":
	case "servers":
		kinds = load.Servers()
	case "digits":
		kinds = load.Digits()
	default:
		if kinds, err = readMix(b.mix); err != nil {
			return nil, err
		}
	}
	for _, text := range b.kinds {
		kind, err := load.ParseKind(text)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

func readMix(path string) ([]load.Kind, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return load.ReadMix(file)
}

// printLoad writes one report for people.
func printLoad(p printer, r load.Report) error {
	fmt.Fprintf(p.out, "%s: %s at load %.2f on %d slots for %v, seed %d: %d tasks\n",
		printable(r.Order), r.Arrivals, r.Load, r.Slots, r.Length, r.Seed, r.Tasks)
	if err := p.Table(loadRows(r)); err != nil {
		return err
	}
	work := "as each kind took alone"
	if r.Exact {
		work = "exactly known"
	}
	fmt.Fprintf(p.out, "on time %d of at most %.1f (work %s): %.3f of the bound\n", r.OnTime, r.Bound, work, r.OfBound)
	precedence := ""
	if !r.Hurried {
		precedence = ", as the generator had no precedence"
	}
	fmt.Fprintf(p.out, "refused at once after %s; sent late by %s%s\n", quantileWords(r.Refusals), quantileWords(r.Generator), precedence)
	for _, c := range r.Classes {
		fmt.Fprintf(p.out, "%v: %.1f%% sure that 99%% are on time; with as many not on time, 99%% sure takes %d tasks\n", c.Class, 100*c.Sure, c.Needed)
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Reasons)) {
		fmt.Fprintf(p.out, "%s: %d\n", printable(reason), r.Reasons[reason])
	}
	if m := r.Machine; m != nil {
		fmt.Fprintf(p.out, "of %d CPUs: agent %s, models %s, generator %s, other work %s\n", m.CPUs,
			part(m, m.Agent), part(m, m.Models), part(m, m.Generator), percent(m.Other))
	}
	if len(r.Doubts) > 0 {
		fmt.Fprintf(p.out, "not to be quoted: %s\n", printable(strings.Join(r.Doubts, "; ")))
	}
	fmt.Fprintln(p.out)
	return nil
}

func loadRows(r load.Report) ([]string, [][]string) {
	var rows [][]string
	for _, c := range r.Classes {
		row := []string{c.Class.String()}
		for _, n := range []int{c.Submitted, c.OnTime, c.Late, c.Refused, c.Evicted, c.Failed} {
			row = append(row, fmt.Sprint(n))
		}
		for _, took := range []time.Duration{c.Latency.P50, c.Latency.P90, c.Latency.P99, c.Alone.P50, c.Alone.P99} {
			row = append(row, coarse(took))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.2f", c.Stretch)))
	}
	return []string{"CLASS", "SENT", "ON TIME", "LATE", "REFUSED", "EVICTED", "FAILED", "P50", "P90", "P99", "ALONE P50", "ALONE P99", "P99/ALONE"}, rows
}

func quantileWords(q load.Quantiles) string {
	if q.Of == 0 {
		return "- (none)"
	}
	return fmt.Sprintf("%s p50, %s p99, %s at most (%d)", coarse(q.P50), coarse(q.P99), coarse(q.Max), q.Of)
}

func part(m *load.Machine, used time.Duration) string {
	return percent(float64(used) / float64(m.Span*time.Duration(m.CPUs)))
}

func percent(part float64) string { return fmt.Sprintf("%.1f%%", 100*part) }
