package sim_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/scheduler/sim"
)

const ms = time.Millisecond

// servers is a minute of the mix.
func servers(tb testing.TB, seed uint64, arrivals sim.Arrivals, load float64, cores int) []sim.Task {
	tb.Helper()
	tasks, err := sim.Load{
		Mix: sim.Servers(), Arrivals: arrivals, Load: load, Cores: cores, Length: time.Minute, Noise: sim.DefaultNoise,
	}.Tasks(seed)
	if err != nil {
		tb.Fatal(err)
	}
	return tasks
}

func onTime(tb testing.TB, p sim.Policy, tasks []sim.Task, cores int) int {
	tb.Helper()
	result, err := p.Run(tasks, cores)
	if err != nil {
		tb.Fatal(err)
	}
	return result.Total().OnTime
}

func named(tb testing.TB, name string) sim.Policy {
	tb.Helper()
	for _, p := range sim.Policies() {
		if p.Name == name {
			return p
		}
	}
	tb.Fatalf("no policy is called %q", name)
	return sim.Policy{}
}

func TestPolicies_ByHand(t *testing.T) {
	task := func(class edge.Class, arrives, deadline, work time.Duration) sim.Task {
		return sim.Task{Model: "m", Class: class, Arrives: arrives * ms, Deadline: deadline * ms, Work: work * ms, Estimate: work * ms}
	}
	const urgent, normal, batch = edge.Urgent, edge.Normal, edge.Batch
	tests := map[string]struct {
		policy string
		tasks  []sim.Task
		want   sim.Counts
	}{
		"FirstComeMissesWhatIsBehind": {"fifo", []sim.Task{task(batch, 0, 900, 50), task(normal, 1, 900, 50), task(urgent, 2, 40, 10)}, sim.Counts{Submitted: 3, OnTime: 2, Missed: 1}},
		"PriorityLetsTheUrgentPass":   {"priority", []sim.Task{task(batch, 0, 900, 20), task(normal, 1, 900, 50), task(urgent, 2, 40, 10)}, sim.Counts{Submitted: 3, OnTime: 3}},
		"PriorityTimesOut":            {"priority", []sim.Task{task(batch, 0, 900, 50), task(urgent, 2, 40, 10)}, sim.Counts{Submitted: 2, OnTime: 1, Missed: 1}},
		"DeadlinesInOrder":            {"edf", []sim.Task{task(normal, 0, 900, 50), task(normal, 1, 900, 50), task(batch, 2, 70, 10)}, sim.Counts{Submitted: 3, OnTime: 3}},
		"LateOnesRunOn":               {"edf", []sim.Task{task(normal, 0, 900, 50), task(normal, 1, 20, 50), task(normal, 2, 105, 50)}, sim.Counts{Submitted: 3, OnTime: 1, Missed: 2, Overlong: 1}},
		"LateOnesAreDropped":          {"edf-late", []sim.Task{task(normal, 0, 900, 50), task(normal, 1, 20, 50), task(normal, 2, 105, 50)}, sim.Counts{Submitted: 3, OnTime: 2, Missed: 1, Overlong: 1}},
		"HopelessOnesAreDropped":      {"edf-hopeless", []sim.Task{task(normal, 0, 900, 50), task(normal, 1, 60, 50), task(normal, 2, 105, 50)}, sim.Counts{Submitted: 3, OnTime: 2, Evicted: 1}},
		"NewcomerIsRefused":           {"edf-refuse", []sim.Task{task(normal, 0, 900, 50), task(normal, 1, 110, 50), task(normal, 2, 105, 50)}, sim.Counts{Submitted: 3, OnTime: 2, Refused: 1}},
		"LatestStartFirst":            {"latest-start", []sim.Task{task(normal, 0, 900, 10), task(normal, 1, 100, 10), task(normal, 2, 110, 80)}, sim.Counts{Submitted: 3, OnTime: 3}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			result, err := named(t, test.policy).Run(test.tasks, 1)
			if err != nil {
				t.Fatal(err)
			}
			if got := result.Total(); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func TestPolicies_CountEveryTaskAndRepeat(t *testing.T) {
	for _, p := range sim.Policies() {
		t.Run(p.Name, func(t *testing.T) {
			tasks := servers(t, 7, sim.DefaultBursts(), 1.2, 2)
			first, err := p.Run(tasks, 2)
			if err != nil {
				t.Fatal(err)
			}
			sum := first.Total()
			if sum.Submitted != len(tasks) || sum.OnTime+sum.Refused+sum.Evicted+sum.Missed != len(tasks) {
				t.Errorf("%+v of %d tasks", sum, len(tasks))
			}
			if again, _ := p.Run(servers(t, 7, sim.DefaultBursts(), 1.2, 2), 2); !reflect.DeepEqual(again, first) {
				t.Errorf("the same seed gave %+v and %+v", first, again)
			}
		})
	}
}

func TestLoad_KeepsItsLoad(t *testing.T) {
	trace, err := sim.ReadTrace(strings.NewReader(recorded))
	if err != nil {
		t.Fatal(err)
	}
	for _, arrivals := range []sim.Arrivals{sim.Poisson{}, sim.DefaultBursts(), trace} {
		t.Run(arrivals.Name(), func(t *testing.T) {
			tasks, err := sim.Load{
				Mix: sim.Servers(), Arrivals: arrivals, Load: 0.8, Cores: 4, Length: 2 * time.Hour, Noise: 0.1,
			}.Tasks(1)
			if err != nil {
				t.Fatal(err)
			}
			var work time.Duration
			for i, task := range tasks {
				work += task.Work
				if i > 0 && task.Arrives < tasks[i-1].Arrives {
					t.Fatal("arrivals are out of order")
				}
			}
			if got := work.Hours() / 2 / 4; math.Abs(got-0.8) > 0.03 {
				t.Errorf("load is %.3f, want 0.8", got)
			}
		})
	}
	t.Run("ErrorsMoveNothingElse", func(t *testing.T) {
		l := sim.Load{Mix: sim.Servers(), Arrivals: sim.Poisson{}, Load: 1, Cores: 1, Count: 500}
		right, _ := l.Tasks(3)
		l.Error, l.Bias = 1, 2
		wrong, _ := l.Tasks(3)
		differ := 0
		for i := range right {
			if right[i].Estimate != wrong[i].Estimate {
				differ++
			}
			wrong[i].Estimate = right[i].Estimate
		}
		if differ < 490 || !reflect.DeepEqual(right, wrong) {
			t.Errorf("%d estimates differ, want all and nothing else", differ)
		}
	})
	t.Run("Nonsense", func(t *testing.T) {
		if _, err := (sim.Load{Mix: sim.Servers(), Arrivals: sim.Poisson{}, Load: -1, Cores: 1, Count: 5}).Tasks(1); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("error is %v, want ErrInvalid", err)
		}
	})
}

func TestBursts_AreBursts(t *testing.T) {
	busiest := func(arrivals sim.Arrivals) float64 {
		tasks, err := sim.Load{Mix: sim.Servers(), Arrivals: arrivals, Load: 1, Cores: 8, Length: 10 * time.Minute}.Tasks(1)
		if err != nil {
			t.Fatal(err)
		}
		seconds := make([]int, 600)
		most := 0
		for _, task := range tasks {
			second := int(task.Arrives / time.Second)
			seconds[second]++
			most = max(most, seconds[second])
		}
		return float64(most) / (float64(len(tasks)) / 600)
	}
	if got := busiest(sim.DefaultBursts()); got < 2.5 {
		t.Errorf("the busiest second has %.1f times the mean, want about three", got)
	}
	if got := busiest(sim.Poisson{}); got > 1.8 {
		t.Errorf("the busiest second without bursts has %.1f times the mean: the test does not test", got)
	}
	if err := (sim.Bursts{Factor: 6, Burst: 1, Calm: 4}).Check(); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("bursts above the mean alone: %v, want ErrInvalid", err)
	}
}

const recorded = `TIMESTAMP,ContextTokens
2023-11-16 18:15:46.6805900,374
2023-11-16T18:15:47.6805900Z,5
2023-11-16 18:15:47.6805900,5
2023-11-16 18:15:50.6805900,5
`

func TestReadTrace(t *testing.T) {
	for name, text := range map[string]string{
		"Nothing": "", "NoColumn": "WHEN\n1\n", "NoInstant": "TIMESTAMP\nyesterday\n", "One": "TIMESTAMP\n2023-11-16 18:15:46\n",
		"Backwards": "TIMESTAMP\n2023-11-16 18:15:46\n2023-11-16 18:15:45\n2023-11-16 18:15:49\n",
		"AtOnce":    "TIMESTAMP\n2023-11-16 18:15:46\n2023-11-16 18:15:46\n", "Ragged": "TIMESTAMP\n2023-11-16 18:15:46\na,b\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := sim.ReadTrace(strings.NewReader(text)); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("error is %v, want ErrInvalid", err)
			}
		})
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add(recorded)
	f.Fuzz(func(t *testing.T, text string) {
		trace, err := sim.ReadTrace(strings.NewReader(text))
		if err != nil {
			return
		}
		l := sim.Load{Mix: sim.Servers(), Arrivals: trace, Load: 1, Cores: 1, Count: 20}
		if tasks, err := l.Tasks(1); err != nil || len(tasks) != 20 {
			t.Fatalf("%d tasks, %v", len(tasks), err)
		}
	})
}
