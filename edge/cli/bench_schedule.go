package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/scheduler/sim"
)

// benchSchedule is what `bench schedule` was asked for.
type benchSchedule struct {
	bench     sim.Bench
	arrivals  arrivalFlags
	policies  []string
	mix       string
	plot      string
	options   sim.Options
	noSuspend bool
	hiccups   string
}

func (d *door) benchScheduleVerb() *cobra.Command {
	b := &benchSchedule{}
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "Simulate the scheduler beside simpler orders and the bound on any",
		Long: "Simulate the scheduler beside simpler orders and the bound on any.\n\n" +
			"Virtual time: a run is a function of its flags. The bound is what could be on time if everything\n" +
			"were known in advance, suspending cost nothing, and a task done in part counted for that part.",
		Args: nothing,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.benchSchedule(cmd, b) },
	}
	load, flags := &b.bench.Load, cmd.Flags()
	flags.IntVar(&load.Cores, "cores", 2, "cores of the node")
	flags.Float64SliceVar(&b.bench.Loads, "load", []float64{0.5, 0.7, 0.9, 1.2, 1.5}, "work that arrives in a second ÷ cores")
	b.arrivals.add(flags)
	flags.StringVar(&b.mix, "mix", "servers", "kinds of tasks: servers, or defaults with the classes' default deadlines")
	flags.DurationVar(&load.Length, "length", sim.QuotableLength, "how long tasks arrive")
	flags.IntVar(&load.Count, "count", 0, "how many tasks arrive, instead of a length")
	flags.IntVar(&b.bench.Seeds, "seeds", 3, "how many seeds are added up, from 1")
	flags.Float64Var(&load.Noise, "noise", sim.DefaultNoise, "spread of the work of one model, log-normal")
	flags.StringVar(&b.hiccups, "hiccups", "", "a part of the runs that takes a factor longer, as in 0.01:3")
	flags.Float64Var(&load.Error, "error", 0, "spread of the estimates, log-normal with mean 1")
	flags.Float64Var(&load.Bias, "bias", 1, "what estimates are multiplied by")
	flags.BoolVar(&b.options.Learn, "learn", false, "the scheduler estimates by the runs it has seen, as on a node")
	flags.Float64SliceVar(&b.options.Ladder, "ladder", nil, "smaller variants of each model, as parts of its work; implies --learn")
	flags.BoolVar(&b.noSuspend, "no-suspend", false, "the scheduler cannot suspend what runs")
	flags.IntVar(&b.options.Suspended, "suspended", 0, "how many tasks may be suspended at once; 0: as many as cores and four more")
	flags.DurationVar(&b.options.Switch, "switch", 0, "work that it costs to resume")
	flags.StringSliceVar(&b.policies, "policies", nil, "which to compare; default: all")
	flags.StringVar(&b.plot, "plot", "", "write an SVG of tasks on time against load to this file")
	return cmd
}

func (d *door) benchSchedule(cmd *cobra.Command, b *benchSchedule) error {
	if err := b.prepare(); err != nil {
		return usageError{err}
	}
	cells, err := b.bench.Run(cmd.Context())
	if err != nil {
		return err
	}
	if b.plot != "" {
		if err := writePlot(b.plot, func(w io.Writer) error { return sim.Plot(w, cells) }); err != nil {
			return err
		}
	}
	report := scheduleReport{Seeds: b.bench.Seeds, Noise: b.bench.Load.Noise, Error: b.bench.Load.Error, Bias: b.bench.Load.Bias, Cells: cells}
	return d.show(report, func(p printer) error { return p.Table(scheduleRows(cells)) })
}

// scheduleReport is the answer for programs.
type scheduleReport struct {
	Seeds int        `json:"seeds"`
	Noise float64    `json:"noise"`
	Error float64    `json:"error"`
	Bias  float64    `json:"bias"`
	Cells []sim.Cell `json:"cells"`
}

// prepare turns names into what they stand for.
func (b *benchSchedule) prepare() error {
	if b.bench.Load.Count > 0 {
		b.bench.Load.Length = 0
	}
	switch b.mix {
	case "servers":
		b.bench.Load.Mix = sim.Servers()
	case "defaults":
		b.bench.Load.Mix = sim.Defaults()
	default:
		return fmt.Errorf("unknown mix %q: must be servers or defaults", b.mix)
	}
	if b.noSuspend {
		b.options.Suspended = -1
	}
	if err := b.parseHiccups(); err != nil {
		return err
	}
	if err := b.choosePolicies(); err != nil {
		return err
	}
	var err error
	b.bench.Arrivals, err = b.arrivals.choose()
	return err
}

func (b *benchSchedule) parseHiccups() error {
	if b.hiccups == "" {
		return nil
	}
	part, factor, _ := strings.Cut(b.hiccups, ":")
	var wrong [2]error
	h := &b.bench.Load.Hiccups
	h.Part, wrong[0] = strconv.ParseFloat(part, 64)
	h.Factor, wrong[1] = strconv.ParseFloat(factor, 64)
	if errors.Join(wrong[:]...) != nil {
		return fmt.Errorf("unknown hiccups %q: must be a part and a factor, as in 0.01:3", b.hiccups)
	}
	return nil
}

func (b *benchSchedule) choosePolicies() error {
	all := append(sim.Baselines(), sim.Plan(b.options))
	if len(b.policies) == 0 {
		b.bench.Policies = all
		return nil
	}
	for _, name := range b.policies {
		i := slices.IndexFunc(all, func(p sim.Policy) bool { return p.Name == name })
		if i < 0 {
			return fmt.Errorf("unknown policy %q: must be one of %s", name, policyNames(all))
		}
		b.bench.Policies = append(b.bench.Policies, all[i])
	}
	return nil
}

func policyNames(policies []sim.Policy) string {
	var names []string
	for _, p := range policies {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

func writePlot(path string, plot func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(plot(file), file.Close())
}

// scheduleRows has a line for each policy of each cell.
func scheduleRows(cells []sim.Cell) ([]string, [][]string) {
	var rows [][]string
	for _, c := range cells {
		for _, o := range c.Outcomes {
			rows = append(rows, []string{
				c.Arrivals, fmt.Sprintf("%.2f", c.Load), o.Policy,
				fmt.Sprintf("%.3f", o.OfBound), fmt.Sprintf("%.3f", o.OnTime),
				classPart(o, "urgent"), classPart(o, "normal"), classPart(o, "batch"),
				fmt.Sprintf("%.2f%%", 100*o.UrgentBroken), fmt.Sprintf("%.2f%%", 100*o.UrgentOverlong), fmt.Sprintf("%.1f%%", 100*o.Wasted),
			})
		}
	}
	return []string{"ARRIVALS", "LOAD", "POLICY", "OF BOUND", "ON TIME", "URGENT", "NORMAL", "BATCH", "URGENT BROKEN", "OF IT OVERLONG", "WASTED"}, rows
}

func classPart(o sim.Outcome, class string) string {
	c := o.Classes[class]
	if c.Submitted == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", float64(c.OnTime)/float64(c.Submitted))
}
