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
			longest := slices.Index(runs, slices.Max(runs))
			runs = slices.Delete(runs, longest, longest+1)
			w.forgetLongest()
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
	t.Run("TailCarriesFirmOnly", func(t *testing.T) {
		m := &model{fallback: ms}
		runs := slices.Repeat([]time.Duration{10 * ms}, 63)
		s := learned(m, 0, append(runs, 90*ms)...)
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

func TestModel_Doubt(t *testing.T) {
	m := &model{fallback: 5 * ms}
	s := learned(m, 0, 20*ms, 20*ms, 20*ms, 20*ms, 10*time.Second)
	step := func(now instant) time.Duration { m.doubt(now, s); return s.figure.plan }

	if got, want := step(forgetEvery-1), 10*time.Second; got != want {
		t.Errorf("doubting at once counts %v, want %v", got, want)
	}
	if got, want := step(forgetEvery), 20*ms; got != want {
		t.Errorf("doubting after %v counts %v, want %v", time.Duration(forgetEvery), got, want)
	}
	if got, want := step(forgetEvery+1), 20*ms; got != want || m.runs.count != 4 {
		t.Errorf("doubting again at once leaves %d runs, want 4", m.runs.count)
	}
	for i := range instant(10) {
		step(forgetEvery * (i + 2))
	}
	if got, want := s.figure.plan, 5*ms; got != want {
		t.Errorf("with everything forgotten it counts %v, want %v", got, want)
	}
}
