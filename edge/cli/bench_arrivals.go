package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"holdfast/scheduler/sim"
)

// arrivalFlags are what is asked of when tasks arrive.
type arrivalFlags struct {
	names []string
	trace string
	burst sim.Bursts
}

func (a *arrivalFlags) add(flags *pflag.FlagSet) {
	a.burst = sim.DefaultBursts()
	flags.StringSliceVar(&a.names, "arrivals", []string{"poisson", "bursts"}, "poisson, bursts, and trace where one is given")
	flags.StringVar(&a.trace, "trace", "", "recorded arrivals: CSV with a column TIMESTAMP")
	flags.Float64Var(&a.burst.Factor, "burst", a.burst.Factor, "rate in a burst, times the mean")
	flags.DurationVar(&a.burst.Burst, "burst-length", a.burst.Burst, "mean length of a burst")
	flags.DurationVar(&a.burst.Calm, "calm-length", a.burst.Calm, "mean length of the time between two")
}

// choose turns names into what they stand for.
func (a *arrivalFlags) choose() (chosen []sim.Arrivals, err error) {
	names := slices.Clone(a.names)
	if a.trace != "" && !slices.Contains(names, "trace") {
		names = append(names, "trace")
	}
	for _, name := range names {
		switch name {
		case "poisson":
			chosen = append(chosen, sim.Poisson{})
		case "bursts":
			if err := a.burst.Check(); err != nil {
				return nil, err
			}
			chosen = append(chosen, a.burst)
		case "trace":
			trace, err := readTrace(a.trace)
			if err != nil {
				return nil, err
			}
			chosen = append(chosen, trace)
		default:
			return nil, fmt.Errorf("unknown arrivals %q: must be poisson, bursts or trace", name)
		}
	}
	return chosen, nil
}

func readTrace(path string) (sim.Trace, error) {
	if path == "" {
		return sim.Trace{}, errors.New("arrivals by trace need --trace FILE")
	}
	file, err := os.Open(path)
	if err != nil {
		return sim.Trace{}, err
	}
	defer file.Close()
	return sim.ReadTrace(file)
}
