package scheduler

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestWindow_EqualsBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var w window
	var runs []time.Duration
	for step := range 5000 {
		if r.IntN(8) == 0 && len(runs) > 0 {
			for range len(runs) / 2 {
				longest := slices.Index(runs, slices.Max(runs))
				runs = slices.Delete(runs, longest, longest+1)
			}
			w.forgetSlow()
		} else {
			run := time.Duration(1+r.IntN(40)) * ms
			runs = append(runs, run)
			runs = runs[max(0, len(runs)-windowRuns):]
			w.add(run)
		}
		if len(runs) == 0 {
			continue
		}
		for _, percent := range []int{1, 50, 90, 99, 100} {
			if got, want := w.quantile(percent), slowQuantile(runs, percent); got != want {
				t.Fatalf("step %d: p%d of %d runs is %v, want %v", step, percent, len(runs), got, want)
			}
		}
	}
}

// slowQuantile is the smallest run that at least percent of the runs do not exceed.
func slowQuantile(runs []time.Duration, percent int) time.Duration {
	best := slices.Max(runs)
	for _, run := range runs {
		under := 0
		for _, other := range runs {
			if other <= run {
				under++
			}
		}
		if under*100 >= percent*len(runs) {
			best = min(best, run)
		}
	}
	return best
}

func learned(m *model, bytes int, runs ...time.Duration) *size {
	s := m.sized(bytes)
	for _, run := range runs {
		m.learn(0, s, run)
	}
	return s
}

func TestModel_Figures(t *testing.T) {
	t.Run("AssumedThenDeclaredThenMeasured", func(t *testing.T) {
		m := &model{fallback: 50 * ms}
		s := m.sized(100)
		assertFigure(t, s.figure, 50*ms, 50*ms, "assumed")
		m.declared = 8 * ms
		m.refresh()
		assertFigure(t, s.figure, 8*ms, 8*ms, "declared")
		m.learn(0, s, 20*ms)
		assertFigure(t, s.figure, 20*ms, 26*ms, "measured") // 1.3 × mean
	})
	t.Run("OwnSpreadCarriesFirmOnly", func(t *testing.T) {
		m := &model{fallback: ms}
		s := learned(m, 0, slices.Concat(slices.Repeat([]time.Duration{10 * ms}, 58), []time.Duration{12 * ms, 13 * ms, 14 * ms, 16 * ms, 19 * ms})...)
		assertFigure(t, s.figure, 10*ms, 19*ms, "measured")
	})
	t.Run("HiccupsCarryNothing", func(t *testing.T) {
		m := &model{fallback: ms}
		s := learned(m, 0, slices.Concat(slices.Repeat([]time.Duration{10 * ms}, 60), []time.Duration{60 * ms, 70 * ms, 80 * ms, 90 * ms})...)
		assertFigure(t, s.figure, 10*ms, 13*ms, "measured")
		if s.figure.tail != 90*ms {
			t.Errorf("a run past its estimate is expected at %v, want where slow ones end", s.figure.tail)
		}
		learned(m, 0, 90*ms) // more than a twentieth is no hiccup
		assertFigure(t, s.figure, 10*ms, 90*ms, "measured")
	})
	t.Run("FollowsLast64Runs", func(t *testing.T) {
		m := &model{fallback: ms}
		learned(m, 0, slices.Repeat([]time.Duration{100 * ms}, 64)...)
		s := learned(m, 0, slices.Repeat([]time.Duration{10 * ms}, 64)...)
		assertFigure(t, s.figure, 10*ms, 13*ms, "measured")
	})
	t.Run("SizesApartOnceKnown", func(t *testing.T) {
		m := &model{fallback: ms}
		small := learned(m, 1000, 2*ms, 2*ms, 2*ms, 2*ms)
		large := learned(m, 100_000, 40*ms, 40*ms, 40*ms)
		if got, want := large.figure.plan, m.figure.plan; got != want {
			t.Errorf("after three runs the large size counts %v, want the model's %v", got, want)
		}
		learned(m, 100_000, 40*ms)
		if got, want := small.figure.plan, 2*ms; got != want {
			t.Errorf("the small size counts %v, want %v", got, want)
		}
		if got, want := large.figure.plan, 40*ms; got != want {
			t.Errorf("the large size counts %v, want %v", got, want)
		}
	})
	t.Run("AnyInputHasItsSize", func(t *testing.T) {
		m := &model{fallback: ms}
		last := -1
		for _, bytes := range []int{0, 1, 4, 16, 1 << 12, 1 << 20, 1 << 30, 1<<31 - 1} {
			s := m.sized(bytes)
			if i := slices.Index(m.sizes[:], s); i < last {
				t.Errorf("%d bytes have size %d, below that of fewer bytes", bytes, i)
			} else {
				last = i
			}
		}
	})
	t.Run("BoundsFreakRuns", func(t *testing.T) {
		m := &model{fallback: ms}
		if s := learned(m, 0, 1<<62, 0, -5); s.figure.firm > maxCost || s.runs.sorted[0] < minCost {
			t.Errorf("figures %+v lie outside %v to %v", s.figure, minCost, maxCost)
		}
	})
}

func assertFigure(t *testing.T, got figure, plan, firm time.Duration, source string) {
	t.Helper()
	if got.plan != plan || got.firm != firm || got.source != source {
		t.Errorf("figure is %+v, want plan %v, firm %v, %s", got, plan, firm, source)
	}
}

func TestModel_MayTry(t *testing.T) {
	slow := func() (*model, *size) {
		m := &model{fallback: 50 * ms, declared: 30 * ms}
		return m, learned(m, 0, 20*ms, 40*ms, 40*ms, 40*ms)
	}
	t.Run("NotWhileFiguresAreFresh", func(t *testing.T) {
		m, _ := slow()
		if m.mayTry(trialPause-1, 25*ms) {
			t.Error("figures are doubted before they are old enough")
		}
		if !m.mayTry(trialPause, 25*ms) {
			t.Error("old figures are not doubted")
		}
	})
	t.Run("NotForLessThanItEverTook", func(t *testing.T) {
		m, _ := slow()
		if m.mayTry(trialPause, 19*ms) {
			t.Error("a wish below the fastest run and the declared cost is tried")
		}
	})
	t.Run("OneAtATime", func(t *testing.T) {
		m, s := slow()
		m.try()
		m.learn(0, s, 40*ms) // another task's run ends meanwhile
		if m.mayTry(forever-1, 25*ms) {
			t.Error("a second trial may run beside the first")
		}
	})
	t.Run("FailureDoublesThePause", func(t *testing.T) {
		m, s := slow()
		now, pauses := trialPause, []instant{}
		for range 7 {
			m.tried(now, s, false)
			pauses = append(pauses, m.trialAt-now)
			now = m.trialAt
		}
		want := []instant{1, 2, 4, 8, 16, 30, 30}
		for i := range want {
			want[i] *= trialPause
		}
		if !slices.Equal(pauses, want) {
			t.Errorf("pauses are %v, want %v", pauses, want)
		}
	})
	t.Run("SuccessForgetsTheSlowHalf", func(t *testing.T) {
		m, s := slow()
		m.tried(trialPause, s, true)
		if got, want := s.runs.count, 2; got != want {
			t.Errorf("%d runs are left, want %d", got, want)
		}
		if !m.mayTry(trialPause, 25*ms) {
			t.Error("the next trial has to wait after one that succeeded")
		}
	})
}
