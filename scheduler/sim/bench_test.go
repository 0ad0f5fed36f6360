//go:build !race

package sim_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/scheduler/sim"
)

// sliced is the recorded arrivals kept beside the tests.
func sliced(tb testing.TB) sim.Trace {
	tb.Helper()
	file, err := os.Open("testdata/arrivals-azure-llm-conv-2023-slice.csv")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	trace, err := sim.ReadTrace(file)
	if err != nil {
		tb.Fatal(err)
	}
	return trace
}

// TestBench_KeepsItsFigures runs the comparison short, and holds the scheduler to what the
// long runs in docs/scheduling.md show, less what a short run may differ.
func TestBench_KeepsItsFigures(t *testing.T) {
	bench := sim.Bench{
		Load:     sim.Load{Mix: sim.Servers(), Length: 2 * time.Minute, Noise: sim.DefaultNoise},
		Arrivals: []sim.Arrivals{sim.Poisson{}, sim.DefaultBursts(), sliced(t)},
		Loads:    []float64{0.5, 0.9, 1.2, 1.5}, Seeds: 2,
		Policies: []sim.Policy{sim.Plan(sim.Options{})},
	}
	for cores, want := range map[int]float64{1: 0.95, 2: 0.96, 4: 0.96} {
		bench.Load.Cores = cores
		cells, err := bench.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cells {
			got := c.Outcomes[0]
			if got.OfBound < want {
				t.Errorf("%d cores, %s, load %v: %.3f of the bound, want %v", cores, c.Arrivals, c.Load, got.OfBound, want)
			}
			if cores > 1 && c.Load <= 1.2 && got.UrgentBroken > 0.002 {
				t.Errorf("%d cores, %s, load %v: %.4f of the urgent promises broken", cores, c.Arrivals, c.Load, got.UrgentBroken)
			}
		}
	}
}

// TestBench_OutlivesHiccups holds that runs which fall into a hiccup cost no more than themselves: urgent tasks are not kept
// out for what one run in a hundred takes.
func TestBench_OutlivesHiccups(t *testing.T) {
	bench := sim.Bench{
		Load:     sim.Load{Mix: sim.Servers(), Length: 2 * time.Minute, Noise: sim.DefaultNoise, Hiccups: sim.Hiccups{Part: 0.01, Factor: 3}},
		Arrivals: []sim.Arrivals{sim.Poisson{}, sim.DefaultBursts()},
		Loads:    []float64{0.7, 0.9, 1.2}, Seeds: 2,
		Policies: []sim.Policy{sim.Plan(sim.Options{Learn: true})},
	}
	for cores, most := range map[int]float64{1: 0.004, 2: 0.002} {
		bench.Load.Cores = cores
		cells, err := bench.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cells {
			got := c.Outcomes[0]
			if urgent := got.Classes["urgent"]; float64(urgent.OnTime) < 0.96*float64(urgent.Submitted) {
				t.Errorf("%d cores, %s, load %v: %+v of the urgent tasks", cores, c.Arrivals, c.Load, urgent)
			}
			if broken := got.UrgentBroken - got.UrgentOverlong; broken > most || got.UrgentOverlong == 0 || got.UrgentOverlong > 0.008 {
				t.Errorf("%d cores, %s, load %v: %.4f of the urgent promises broken, and %.4f by hiccups of their own", cores, c.Arrivals, c.Load, broken, got.UrgentOverlong)
			}
		}
	}
}

// TestBench_LearnsWhatWasDeclaredWrong: whatever is said of the models, what they take is found out, and
// the figures are those of true words.
func TestBench_LearnsWhatWasDeclaredWrong(t *testing.T) {
	wrong := map[string]sim.Load{"Spread": {Error: 1}, "TenTimes": {Bias: 10}, "ATenth": {Bias: 0.1}}
	for name, load := range wrong {
		t.Run(name, func(t *testing.T) {
			load.Mix, load.Length, load.Noise, load.Cores = sim.Servers(), 2*time.Minute, sim.DefaultNoise, 2
			cells, err := sim.Bench{
				Load: load, Arrivals: []sim.Arrivals{sim.Poisson{}, sim.DefaultBursts()}, Loads: []float64{0.9, 1.5}, Seeds: 3,
				Policies: []sim.Policy{sim.Plan(sim.Options{Learn: true}), sim.Plan(sim.Options{})},
			}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range cells {
				learnt, told := c.Outcomes[0], c.Outcomes[1]
				if learnt.OfBound < 0.96 || learnt.UrgentBroken > 0.001 {
					t.Errorf("%s, load %v: %.3f of the bound and %.4f of the urgent promises broken", c.Arrivals, c.Load, learnt.OfBound, learnt.UrgentBroken)
				}
				if told.OfBound > learnt.OfBound { // control
					t.Errorf("%s, load %v: %.3f of the bound by wrong words, %.3f by what was learnt", c.Arrivals, c.Load, told.OfBound, learnt.OfBound)
				}
			}
		})
	}
}

// TestBench_NoticesWhatSuspendingIsWorth is the control of TestBench_KeepsItsFigures.
func TestBench_NoticesWhatSuspendingIsWorth(t *testing.T) {
	cells, err := sim.Bench{
		Load:     sim.Load{Mix: sim.Servers(), Length: time.Minute, Noise: sim.DefaultNoise, Cores: 2},
		Arrivals: []sim.Arrivals{sim.Poisson{}}, Loads: []float64{0.9}, Seeds: 2,
		Policies: []sim.Policy{sim.Plan(sim.Options{Suspended: -1})},
	}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := cells[0].Outcomes[0]; got.OfBound > 0.9 || got.Suspensions > 0 {
		t.Errorf("%.3f of the bound with %d suspensions, want much less without any", got.OfBound, got.Suspensions)
	}
}

// TestBench_NoticesWhatVariantsAreWorth holds stepping down to its figures: who waits is answered by a smaller
// variant before anybody gives way.
func TestBench_NoticesWhatVariantsAreWorth(t *testing.T) {
	cells, err := sim.Bench{
		Load:     sim.Load{Mix: sim.Servers(), Length: 2 * time.Minute, Noise: sim.DefaultNoise, Cores: 2},
		Arrivals: []sim.Arrivals{sim.Poisson{}, sim.DefaultBursts()}, Loads: []float64{1.5}, Seeds: 2,
		Policies: []sim.Policy{sim.Plan(sim.Options{Learn: true}), sim.Plan(sim.Options{Ladder: []float64{0.5, 0.25}})},
	}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cells {
		without, with := c.Outcomes[0], c.Outcomes[1]
		if with.OnTime < 0.97 || without.OnTime > 0.96 || without.Smaller > 0 {
			t.Errorf("%s: %.3f on time with variants and %.3f without, want 0.97 and much less", c.Arrivals, with.OnTime, without.OnTime)
		}
		if urgent := with.Classes["urgent"]; float64(urgent.Smaller) > 0.1*float64(urgent.Submitted) || with.Smaller > 0.25 {
			t.Errorf("%s: %.3f answered by smaller variants, %+v of the urgent ones", c.Arrivals, with.Smaller, urgent)
		}
	}
}

func TestBench_ArticlesCell(t *testing.T) {
	cells, err := sim.Bench{
		Load:     sim.Load{Mix: sim.Defaults(), Count: 16000, Noise: sim.DefaultNoise, Cores: 2},
		Arrivals: []sim.Arrivals{sim.Poisson{}}, Loads: []float64{0.45}, Seeds: 1, Policies: sim.Policies(),
	}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	outcomes := cells[0].Outcomes
	if got := outcomes[len(outcomes)-1].OnTime; got != 1 {
		t.Errorf("%.5f of 16,000 tasks were on time, want all", got)
	}
	if got := outcomes[0].OnTime; got > 0.95 {
		t.Errorf("first come, first served had %.3f on time: there is nothing to gain here", got)
	}
}

func TestBench_Refuses(t *testing.T) {
	if _, err := (sim.Bench{}).Run(t.Context()); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("nothing to compare: %v, want ErrInvalid", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := sim.Bench{
		Load: sim.Load{Mix: sim.Servers(), Count: 9, Cores: 1}, Arrivals: []sim.Arrivals{sim.Poisson{}},
		Loads: []float64{1}, Seeds: 1, Policies: sim.Baselines(),
	}.Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a comparison nobody waits for: %v, want Canceled", err)
	}
}

func TestPlot_IsWellFormed(t *testing.T) {
	for _, loads := range [][]float64{{0.5, 1.5}, {0.45}} {
		cells, err := sim.Bench{
			Load: sim.Load{Mix: sim.Servers(), Count: 50, Cores: 1}, Arrivals: []sim.Arrivals{sim.Poisson{}, sliced(t)},
			Loads: loads, Seeds: 1, Policies: sim.Policies(),
		}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var svg bytes.Buffer
		if err := sim.Plot(&svg, cells); err != nil {
			t.Fatal(err)
		}
		lines, decoder := 0, xml.NewDecoder(strings.NewReader(svg.String()))
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if element, is := token.(xml.StartElement); is && element.Name.Local == "polyline" {
				lines++
			}
		}
		if want := 2 * (1 + len(sim.Policies())); lines != want {
			t.Errorf("%d lines are drawn, want %d", lines, want)
		}
		if strings.Contains(svg.String(), "NaN") {
			t.Error("a point lies nowhere")
		}
	}
}
