package scheduler

import (
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/edge"
)

func someRate(r *rand.Rand) (edge.Rate, int) {
	periods := []time.Duration{time.Second, time.Minute, time.Hour}
	return edge.Rate{Count: 1 + r.Int64N(50), Per: periods[r.IntN(3)]}, r.IntN(8)
}

// exactLevel is a bucket in fractions, as the definition has it.
type exactLevel struct {
	level, burst, perNano *big.Rat
	asOf                  instant
}

func (e *exactLevel) at(now instant) *big.Rat {
	gain := new(big.Rat).Mul(e.perNano, new(big.Rat).SetInt64(int64(now-e.asOf)))
	if gain.Add(gain, e.level).Cmp(e.burst) > 0 {
		gain.Set(e.burst)
	}
	return gain
}

func TestBucket_IsExact(t *testing.T) {
	one, taken, refused := big.NewRat(1, 1), 0, 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 17))
		rate, burst := someRate(r)
		now := instant(r.Int64N(1e9))
		b := newBucket(now, rate, burst)
		full := big.NewRat(int64(b.burst()), 1)
		want := &exactLevel{level: full, burst: full, perNano: big.NewRat(rate.Count, int64(rate.Per)), asOf: now}
		for range 200 {
			now += instant(r.ExpFloat64() * float64(rate.Per) / float64(rate.Count) * 0.8)
			level := want.at(now)
			if enough := level.Cmp(one) >= 0; enough != (b.wait(now) == 0) {
				t.Fatalf("seed %d: wait is %v with %v tokens", seed, b.wait(now), level)
			} else if enough {
				taken++
				b.take(now)
				want.level, want.asOf = level.Sub(level, one), now
				continue
			}
			refused++
			later := now + instant(b.wait(now))
			if want.at(later).Cmp(one) < 0 || want.at(later-1).Cmp(one) >= 0 {
				t.Fatalf("seed %d: wait of %v is not the first moment with a token", seed, b.wait(now))
			}
		}
	}
	if taken == 0 || refused == 0 {
		t.Errorf("%d taken and %d refused: the test does not test", taken, refused)
	}
}

// grant is a token given, or a moment at which the rate changed.
type grant struct {
	at    instant
	given int64
	burst int64
	gain  int64 // from here on, in parts of a token of 3.6e12, a nanosecond
}

// overdrawn looks at every span there is, brute force: from a grant on no more may be
// given than the burst at that moment and what the rates bring.
func overdrawn(grants []grant) bool {
	const token = int64(time.Hour)
	for i := range grants {
		bound, given := grants[i].burst*token, int64(0)
		for j := i; j < len(grants); j++ {
			if j > i {
				bound += grants[j-1].gain * int64(grants[j].at-grants[j-1].at)
			}
			if given += grants[j].given * token; given > bound {
				return true
			}
		}
	}
	return false
}

func TestBucket_GivesNoMoreInAnySpan(t *testing.T) {
	play := func(seed uint64, reshape func(b *bucket, now instant, rate edge.Rate, burst int)) bool {
		r := rand.New(rand.NewPCG(seed, 19))
		rate, burst := someRate(r)
		b, now := newBucket(0, rate, burst), instant(0)
		var grants []grant
		for range 150 {
			now += instant(r.ExpFloat64() * float64(rate.Per) / float64(rate.Count) / 2)
			if r.IntN(6) == 0 {
				rate, burst = someRate(r)
				reshape(&b, now, rate, burst)
				grants = append(grants, grant{at: now, burst: int64(b.burst())})
			} else {
				grants = append(grants, grant{at: now, burst: int64(b.burst())})
				if b.wait(now) == 0 {
					b.take(now)
					grants[len(grants)-1].given = 1
				}
			}
			grants[len(grants)-1].gain = rate.Count * int64(time.Hour/rate.Per)
		}
		return overdrawn(grants)
	}
	caught := 0
	for seed := range uint64(300) {
		if play(seed, (*bucket).reshape) {
			t.Fatalf("seed %d: more was given than burst and rate allow", seed)
		}
		refill := func(b *bucket, now instant, rate edge.Rate, burst int) { *b = newBucket(now, rate, burst) }
		if play(seed, refill) {
			caught++
		}
	}
	if caught < 100 {
		t.Errorf("a bucket that every change fills is caught %d times in 300", caught)
	}
}

func TestBucket_Reshape(t *testing.T) {
	perSecond := func(n int64) edge.Rate { return edge.Rate{Count: n, Per: time.Second} }
	for name, test := range map[string]struct {
		rate              edge.Rate
		burst, left, want int
	}{
		"Same":         {perSecond(1), 100, 50, 50},
		"Smaller":      {perSecond(1), 10, 50, 5},
		"Larger":       {perSecond(1), 1000, 50, 50},
		"OtherPeriod":  {edge.Rate{Count: 1, Per: time.Hour}, 100, 50, 50},
		"NoBurst":      {perSecond(20), 0, 50, 10},
		"HugeAndFull":  {edge.Rate{Count: 1 << 53, Per: time.Hour}, 1 << 30, 100, 100},
		"EmptyAndTiny": {perSecond(1), 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucket(0, perSecond(1), 100)
			b.level = int64(test.left) * b.token
			b.reshape(0, test.rate, test.burst)
			if got := b.tokens(0); got != test.want {
				t.Errorf("%d tokens, want %d", got, test.want)
			}
		})
	}
	t.Run("GainsAtTheOldRateUntilThen", func(t *testing.T) {
		b := newBucket(0, perSecond(1), 100)
		b.level = 0
		b.reshape(instant(7*time.Second), perSecond(50), 100)
		if got := b.tokens(instant(7 * time.Second)); got != 7 {
			t.Errorf("%d tokens, want 7", got)
		}
	})
}

func TestBucket_Extremes(t *testing.T) {
	b := newBucket(0, edge.Rate{Count: 1<<53 - 1, Per: time.Second}, 1<<16)
	for range b.burst() {
		b.take(0)
	}
	if got := b.wait(0); got != 1 {
		t.Errorf("wait is %v, want 1ns", got)
	}
	slow := newBucket(0, edge.Rate{Count: 1, Per: time.Hour}, 1<<16)
	slow.level = 0
	if got := slow.tokens(forever - 1); got != 1<<16 {
		t.Errorf("%d tokens after ages, want it full", got)
	}
	odd := newBucket(0, edge.Rate{Count: -5, Per: -time.Second}, -1)
	odd.take(0)
	if got := odd.wait(0); got != 1 || odd.burst() != 1 {
		t.Errorf("wait %v and burst %d of a rate nobody can mean", got, odd.burst())
	}
}
