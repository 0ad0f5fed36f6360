package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

func runsOf(n int, run time.Duration) []time.Duration { return slices.Repeat([]time.Duration{run}, n) }

func TestCore_RemembersEstimates(t *testing.T) {
	d := newDrive(t, 1, serving("m", 1, 5*ms), serving("never", 1, ms))
	d.teach("m", append(runsOf(60, 20*ms), runsOf(20, 40*ms)...)...)
	kept := d.core.estimates()
	if len(kept) != 1 || kept[0].Model != "m" || len(kept[0].Runs) != KeptRuns || kept[0].Fastest != 20*ms {
		t.Fatalf("kept %+v", kept)
	}
	wide := ModelEstimates{Model: strings.Repeat("m", 200), Fastest: maxCost, Runs: runsOf(KeptRuns, maxCost)}
	if text, err := json.Marshal(wide); err != nil || len(text) > 1024 {
		t.Errorf("as JSON a model takes %d bytes, %v; want 1 KiB at most", len(text), err)
	}

	again := newDrive(t, 1)
	again.core.remember(kept)
	again.core.serve(again.now, []edge.Pool{serving("m", 1, 5*ms)})
	m := again.core.models["m"]
	if m.figure.plan != 40*ms || m.figure.source != "measured" || m.fastest != 20*ms || m.declared != 5*ms {
		t.Errorf("remembered as %+v", m.figure)
	}
	if !m.mayTry(again.now, 20*ms) {
		t.Error("what is remembered cannot be doubted")
	}
	_, err := again.submit("tight", "m", edge.Normal, 4*ms)
	assertRefused(t, err, edge.ReasonDeadlineUnreachable)
	again.teach("m", runsOf(windowRuns, 10*ms)...)
	if m.figure.plan != 10*ms {
		t.Errorf("counts %v after %d runs of 10ms", m.figure.plan, windowRuns)
	}
}

func TestCheckEstimates(t *testing.T) {
	good := ModelEstimates{Model: "good", Fastest: ms, Runs: []time.Duration{2 * ms, ms}}
	bad := map[string]ModelEstimates{
		"NoName":    {Fastest: ms, Runs: runsOf(1, ms)},
		"LongName":  {Model: strings.Repeat("x", 257), Fastest: ms, Runs: runsOf(1, ms)},
		"NoRuns":    {Model: "m", Fastest: ms},
		"ManyRuns":  {Model: "m", Fastest: ms, Runs: runsOf(KeptRuns+1, ms)},
		"Negative":  {Model: "m", Fastest: ms, Runs: []time.Duration{ms, -ms}},
		"Endless":   {Model: "m", Fastest: ms, Runs: []time.Duration{ms, math.MaxInt64}},
		"NoFastest": {Model: "m", Runs: runsOf(1, ms)},
		"NotThat":   {Model: "m", Fastest: 3 * ms, Runs: runsOf(1, ms)},
		"Twice":     good,
	}
	for name, m := range bad {
		t.Run(name, func(t *testing.T) {
			got, err := CheckEstimates([]ModelEstimates{good, m})
			if len(got) != 1 || got[0].Model != "good" || !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("believes %d, %v; want one and ErrInvalid", len(got), err)
			}
		})
	}
	if got, err := CheckEstimates([]ModelEstimates{good}); len(got) != 1 || err != nil {
		t.Errorf("believes %d, %v", len(got), err)
	}
	var many []ModelEstimates
	for i := range KeptModels + 5 {
		m := good
		m.Model = fmt.Sprint(i)
		many = append(many, m)
	}
	if got, err := CheckEstimates(many); len(got) != KeptModels || err == nil {
		t.Errorf("believes %d of %d, %v", len(got), len(many), err)
	}
}

func TestModelReport_SaysSpreadAndBias(t *testing.T) {
	d := newDrive(t, 1, serving("m", 1, 10*ms))
	if r := d.core.snapshot(0).Report.Models[0]; r.Bias != 0 || r.Median != 0 {
		t.Errorf("before the first run: %+v", r)
	}
	took := 20 * ms
	d.duration = func(*item) (time.Duration, error) { return took, nil }
	ask := func() {
		d.mustSubmit(fmt.Sprint(d.core.seq), "m", edge.Normal, time.Second)
		d.run()
	}
	if ask(); d.core.snapshot(d.now).Report.Models[0].Bias != 2 {
		t.Errorf("one run of 20ms where 10ms were declared: %+v", d.core.snapshot(d.now).Report.Models[0])
	}
	for range 200 {
		ask()
	}
	r := d.core.snapshot(d.now).Report.Models[0]
	if r.Bias < 0.99 || r.Bias > 1.1 || r.Median != took || r.P90 != took || r.P99 != took {
		t.Errorf("after 200 runs as foretold: %+v", r)
	}
}

// FuzzCheckEstimates: nothing that is believed crashes or poisons the figures.
func FuzzCheckEstimates(f *testing.F) {
	f.Add([]byte(`[{"model":"m","fastestNs":1000,"runsNs":[1000,2000]}]`))
	f.Add([]byte(`[{"model":"m","fastestNs":-1,"runsNs":[1e300]},{}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var kept []ModelEstimates
		if json.Unmarshal(text, &kept) != nil {
			return
		}
		good, _ := CheckEstimates(kept)
		d := newDrive(t, 1)
		d.core.remember(good)
		for _, m := range good {
			d.core.serve(0, []edge.Pool{serving(m.Model, 1, ms)})
			figure := d.core.models[m.Model].figure
			if figure.plan < minCost || figure.firm > maxCost || figure.firm < figure.plan {
				t.Fatalf("counts %+v", figure)
			}
		}
		if again, err := CheckEstimates(d.core.estimates()); err != nil || len(again) != len(good) {
			t.Fatalf("what it would keep is not believed: %v", err)
		}
	})
}
