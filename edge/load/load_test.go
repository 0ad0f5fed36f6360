package load_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/load"
	"holdfast/scheduler/sim"
)

// as has every task become something.
func as(outcome edge.Outcome, err error) func(context.Context, edge.Task) edge.Settlement {
	return func(_ context.Context, t edge.Task) edge.Settlement {
		return edge.Settlement{Task: t, Outcome: outcome, Err: err, At: time.Now()}
	}
}

func TestGenerator_Run(t *testing.T) {
	t.Run("EveryTaskIsCountedOnce", func(t *testing.T) {
		a := startAgent(t)
		answer := map[edge.Class]func(context.Context, edge.Task) edge.Settlement{
			edge.Normal: as(edge.Refused, &edge.Refusal{Reason: edge.ReasonQueueFull}),
			edge.Batch:  as(edge.Evicted, &edge.Refusal{Reason: edge.ReasonDeadlineUnreachable}),
		}
		a.infer = func(ctx context.Context, task edge.Task) edge.Settlement {
			if other := answer[task.Class]; other != nil {
				return other(ctx, task)
			}
			return done(task)
		}
		r := run(t, options(a))
		sum := 0
		for _, c := range r.Classes {
			if c.Submitted != c.OnTime+c.Late+c.Refused+c.Evicted+c.Failed {
				t.Errorf("%+v does not add up", c)
			}
			sum += c.Submitted
		}
		urgent, normal, batch := r.Classes[0], r.Classes[1], r.Classes[2]
		if sum != r.Tasks || r.Tasks != len(a.sent()) || r.Tasks < 50 {
			t.Errorf("%d tasks in classes, %d reported, the agent had %d", sum, r.Tasks, len(a.sent()))
		}
		if urgent.OnTime != urgent.Submitted || normal.Refused != normal.Submitted || batch.Evicted != batch.Submitted {
			t.Errorf("classes %+v", r.Classes)
		}
		want := map[string]int{"refused: queue_full": normal.Submitted, "evicted: deadline_unreachable": batch.Submitted}
		if !maps.Equal(r.Reasons, want) || r.Refusals.Of != normal.Submitted {
			t.Errorf("reasons %v, want %v; %d refusals", r.Reasons, want, r.Refusals.Of)
		}
		if r.OnTime != urgent.OnTime || !r.Exact || r.OfBound <= 0 || r.OfBound > 1 || urgent.Sure <= 0 || normal.Sure != 0 {
			t.Errorf("reported %+v", r)
		}
		if k := r.Kinds[0]; k.Estimate != 3*time.Millisecond || k.Firm != 4*time.Millisecond || k.Alone.Of < 5 || urgent.Stretch <= 0 {
			t.Errorf("kind %+v, stretch %v", k, urgent.Stretch)
		}
	})
	t.Run("LateAndFailed", func(t *testing.T) {
		a := startAgent(t)
		a.infer = func(ctx context.Context, task edge.Task) edge.Settlement {
			switch task.Class {
			case edge.Urgent: // says it was completed, when the caller has no use for it any more
				timer := time.NewTimer(time.Until(task.Deadline))
				defer timer.Stop()
				<-timer.C
				return done(task)
			case edge.Normal:
				return as(edge.Missed, edge.ErrDeadline)(ctx, task)
			}
			return as(edge.Failed, fmt.Errorf("%w: broken", edge.ErrModel))(ctx, task)
		}
		o := options(a)
		for i := range o.Kinds {
			o.Kinds[i].Shortest, o.Kinds[i].Longest = 20*time.Millisecond, 30*time.Millisecond
		}
		r := run(t, o)
		urgent, normal, batch := r.Classes[0], r.Classes[1], r.Classes[2]
		if urgent.Late != urgent.Submitted || normal.Late != normal.Submitted || batch.Failed != batch.Submitted || r.OnTime != 0 {
			t.Errorf("classes %+v", r.Classes)
		}
		if !strings.Contains(r.Failure, "broken") || !strings.Contains(strings.Join(r.Doubts, "\n"), "tasks failed, the first one with: ") {
			t.Errorf("failure %q, doubts %q", r.Failure, r.Doubts)
		}
	})
	t.Run("NeverWaitsForAnswers", func(t *testing.T) {
		a, inside, all := startAgent(t), 0, make(chan struct{})
		const tasks = 300
		a.infer = func(_ context.Context, task edge.Task) edge.Settlement {
			a.mu.Lock()
			if inside++; inside == tasks {
				close(all)
			}
			a.mu.Unlock()
			<-all // a generator that waits for one answer never sends the last task
			return done(task)
		}
		o := options(a)
		o.Arrivals = []sim.Arrivals{crowd(tasks)}
		for i := range o.Kinds {
			o.Kinds[i].Shortest, o.Kinds[i].Longest = 20*time.Second, 20*time.Second
		}
		if r := run(t, o); r.OnTime != tasks {
			t.Errorf("%d of %d on time: %+v", r.OnTime, tasks, r)
		}
	})
	t.Run("ChargesItsOwnLateness", func(t *testing.T) {
		a := startAgent(t)
		o := options(a)
		o.Arrivals = []sim.Arrivals{crowd(500)} // no generator sends these at one instant
		r := run(t, o)
		longest := time.Duration(0)
		for _, c := range r.Classes {
			longest = max(longest, c.Latency.Max)
		}
		if r.Generator.Of != 500 || r.Generator.Max <= 0 || longest < r.Generator.Max {
			t.Errorf("sent late by up to %v, and the longest latency is %v", r.Generator.Max, longest)
		}
		for _, task := range a.sent() {
			if left := task.Deadline.Sub(task.Arrived); left >= 2*time.Second {
				t.Fatalf("a task sent late still has %v", left)
			}
		}
	})
	t.Run("SameSeedSameTasks", func(t *testing.T) {
		a, b, c := startAgent(t), startAgent(t), startAgent(t)
		other := options(c)
		other.Seed++
		first, second, third := run(t, options(a)), run(t, options(b)), run(t, other)
		if first.Tasks != second.Tasks || first.Bound != second.Bound {
			t.Errorf("one seed makes %d and %d tasks, bounds %v and %v", first.Tasks, second.Tasks, first.Bound, second.Bound)
		}
		if slices.Equal(inputs(a), inputs(c)) || !slices.Equal(inputs(a), inputs(b)) || first.Tasks == third.Tasks && first.Bound == third.Bound {
			t.Errorf("inputs do not go by the seed: %d, %d and %d tasks", first.Tasks, second.Tasks, third.Tasks)
		}
	})
	t.Run("MeasuredModels", func(t *testing.T) {
		a := startAgent(t)
		o := options(a)
		o.Kinds = []load.Kind{{Model: "digits", Rows: 3, Class: edge.Normal, Share: 1, Shortest: time.Second, Longest: time.Second}}
		o.Loads, o.Arrivals = []float64{0.01}, []sim.Arrivals{crowd(20)}
		r := run(t, o)
		if r.Exact || r.OnTime != 20 || r.Kinds[0].Work <= 0 || r.Kinds[0].Work != r.Kinds[0].Alone.P50 {
			t.Errorf("reported %+v", r)
		}
	})
}

// inputs are the bytes of all tasks in some order of their own: they were sent side by side.
func inputs(a *agent) []string {
	var all []string
	for _, t := range a.sent() {
		all = append(all, string(t.Input.Body))
	}
	slices.Sort(all)
	return all
}

func TestGenerator_Doubts(t *testing.T) {
	has := func(r load.Report, words string) bool { return strings.Contains(strings.Join(r.Doubts, "\n"), words) }
	t.Run("ShortAndOthersTasks", func(t *testing.T) {
		a := startAgent(t)
		var once bool
		a.infer = func(_ context.Context, task edge.Task) edge.Settlement {
			a.mu.Lock()
			if !once {
				once, a.extra = true, 3
			}
			a.mu.Unlock()
			return done(task)
		}
		r := run(t, options(a))
		if !has(r, "less than 10m0s") || !has(r, fmt.Sprintf("asked for %d tasks, and %d are ours", r.Tasks+3, r.Tasks)) {
			t.Errorf("doubts %q", r.Doubts)
		}
		if r.Machine == nil || r.Machine.CPUs < 1 || r.Machine.Span < 100*time.Millisecond || r.Machine.Other > 1 {
			t.Errorf("machine %+v", r.Machine)
		}
	})
	t.Run("AnotherMachine", func(t *testing.T) {
		a := startAgent(t)
		a.pid = 1 << 30 // no process of this machine
		if r := run(t, options(a)); r.Machine != nil || !has(r, "is not known") {
			t.Errorf("machine %+v, doubts %q", r.Machine, r.Doubts)
		}
	})
}

func TestGenerator_Fails(t *testing.T) {
	a := startAgent(t)
	for name, c := range map[string]struct {
		change func(*load.Options)
		want   error
	}{
		"NoArrivals":     {func(o *load.Options) { o.Arrivals = nil }, edge.ErrInvalid},
		"NoLoads":        {func(o *load.Options) { o.Loads = nil }, edge.ErrInvalid},
		"LoadZero":       {func(o *load.Options) { o.Loads = []float64{0} }, edge.ErrInvalid},
		"LoadTooMuch":    {func(o *load.Options) { o.Loads = []float64{1e6} }, edge.ErrInvalid},
		"NoLength":       {func(o *load.Options) { o.Length = 0 }, edge.ErrInvalid},
		"NoMixSuits":     {func(o *load.Options) { o.Kinds = nil }, edge.ErrInvalid},
		"BurnerNoWork":   {func(o *load.Options) { o.Kinds[0].Work = 0 }, edge.ErrInvalid},
		"WorkOfNoBurner": {func(o *load.Options) { o.Kinds[0].Model = "digits" }, edge.ErrInvalid},
		"NoNumbers":      {func(o *load.Options) { o.Kinds[0].Model, o.Kinds[0].Work = "text", 0 }, edge.ErrInvalid},
		"TooManyRows": {func(o *load.Options) {
			o.Kinds[0].Model, o.Kinds[0].Work, o.Kinds[0].Rows = "digits", 0, 1<<16+1
		}, edge.ErrInvalid},
		"NoAgent": {func(o *load.Options) { o.Address += ".none" }, edge.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(a)
			c.change(&o)
			if _, err := runAll(t.Context(), o); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	t.Run("UnknownModel", func(t *testing.T) {
		o := options(a)
		o.Kinds[0].Model = "x"
		_, err := runAll(t.Context(), o)
		if refusal, ok := edge.AsRefusal(err); !ok || refusal.Reason != edge.ReasonUnknownModel {
			t.Errorf("got %v", err)
		}
	})
	t.Run("NotAnsweredAlone", func(t *testing.T) {
		b := startAgent(t)
		b.alone = as(edge.Refused, &edge.Refusal{Reason: edge.ReasonDraining})
		if _, err := runAll(t.Context(), options(b)); !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(err.Error(), "draining") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := startAgent(t)
		b.infer = func(_ context.Context, task edge.Task) edge.Settlement {
			cancel()
			return as(edge.Missed, edge.ErrDeadline)(ctx, task)
		}
		o := options(b)
		o.Length = time.Minute // nobody waits for that
		if _, err := runAll(ctx, o); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ReportNotTaken", func(t *testing.T) {
		g, err := load.New(options(a))
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		full := errors.New("disk full")
		if err := g.Run(t.Context(), func(load.Report) error { return full }); !errors.Is(err, full) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPlot(t *testing.T) {
	var b bytes.Buffer
	report := func(order string, at float64, onTime int) load.Report {
		return load.Report{Order: order, Arrivals: "poisson", Load: at, Slots: 2, Tasks: 100, Bound: 90, OnTime: onTime}
	}
	err := load.Plot(&b, []load.Report{report("fifo", 0.7, 60), report("fifo", 0.9, 30), report("plan", 0.7, 99), report("plan", 0.9, 95)})
	if err != nil || strings.Count(b.String(), "<polyline") != 3 || !strings.Contains(b.String(), "fifo") {
		t.Errorf("%v: %s", err, b.String())
	}
}
