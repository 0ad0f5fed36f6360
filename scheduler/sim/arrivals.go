package sim

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"holdfast/edge"
)

// Arrivals make the gaps between arrivals, in units of the mean gap.
type Arrivals interface {
	// Name is what tables call it.
	Name() string
	// Gaps begins a sequence; mean is the gap it is scaled to.
	Gaps(r *rand.Rand, mean time.Duration) func() float64
}

// Poisson arrivals know nothing of each other.
type Poisson struct{}

// Name of the process.
func (Poisson) Name() string { return "poisson" }

// Gaps are exponential.
func (Poisson) Gaps(r *rand.Rand, _ time.Duration) func() float64 { return r.ExpFloat64 }

// Bursts are Poisson arrivals whose rate goes to and fro between two states: calm,
// and a burst of Factor times the mean rate. The calm rate is what keeps the mean.
type Bursts struct {
	Factor      float64       // of the mean rate, in a burst
	Burst, Calm time.Duration // mean lengths, exponential
}

// DefaultBursts are three times the mean for 2 s of every 10; in between arrivals
// come at half the mean rate.
func DefaultBursts() Bursts { return Bursts{Factor: 3, Burst: 2 * time.Second, Calm: 18 * time.Second} }

// Name of the process.
func (Bursts) Name() string { return "bursts" }

// Gaps of a Poisson process whose rate changes with the state.
func (b Bursts) Gaps(r *rand.Rand, mean time.Duration) func() float64 {
	share := float64(b.Burst) / float64(b.Burst+b.Calm)
	calm := (1 - share*b.Factor) / (1 - share)
	bursting := r.Float64() < share
	length := func() float64 {
		if bursting {
			return r.ExpFloat64() * float64(b.Burst) / float64(mean)
		}
		return r.ExpFloat64() * float64(b.Calm) / float64(mean)
	}
	left := length()
	return func() float64 {
		need, gap := r.ExpFloat64(), 0.0
		for {
			rate := calm
			if bursting {
				rate = b.Factor
			}
			if need < left*rate {
				left -= need / rate
				return gap + need/rate
			}
			need -= left * rate
			gap += left
			bursting = !bursting
			left = length()
		}
	}
}

// Check tells whether the calm rate can keep the mean.
func (b Bursts) Check() error {
	share := float64(b.Burst) / float64(b.Burst+b.Calm)
	if b.Factor <= 1 || b.Burst <= 0 || b.Calm <= 0 || share*b.Factor > 1 {
		return fmt.Errorf("cannot make bursts: %v times the mean for %v of %v: %w", b.Factor, b.Burst, b.Burst+b.Calm, edge.ErrInvalid)
	}
	return nil
}

// Trace repeats recorded arrivals, from a place that the seed chooses and round.
type Trace struct {
	gaps []float64 // of mean 1
}

// traceColumn is the one a trace must have; others are ignored.
const traceColumn = "TIMESTAMP"

var traceLayouts = []string{"2006-01-02 15:04:05.999999999", time.RFC3339Nano}

// ReadTrace reads recorded arrivals: CSV with a head that names TIMESTAMP, in
// ascending order, as "2006-01-02 15:04:05.999999999" or RFC 3339.
func ReadTrace(from io.Reader) (Trace, error) {
	r := csv.NewReader(from)
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		return Trace{}, fmt.Errorf("cannot read trace: %w: %w", edge.ErrInvalid, err)
	}
	column := slices.Index(head, traceColumn)
	if column < 0 {
		return Trace{}, fmt.Errorf("cannot read trace: no column %s: %w", traceColumn, edge.ErrInvalid)
	}
	var at []time.Time
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return newTrace(at)
		}
		if err != nil {
			return Trace{}, fmt.Errorf("cannot read trace: %w: %w", edge.ErrInvalid, err)
		}
		instant, err := parseInstant(row[column])
		if err != nil {
			return Trace{}, fmt.Errorf("cannot read trace: arrival %d: %w: %w", len(at)+1, edge.ErrInvalid, err)
		}
		at = append(at, instant)
	}
}

func parseInstant(text string) (at time.Time, err error) {
	for _, layout := range traceLayouts {
		if at, err = time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return at, err
}

func newTrace(at []time.Time) (Trace, error) {
	if len(at) < 2 || !at[len(at)-1].After(at[0]) {
		return Trace{}, fmt.Errorf("cannot read trace: %d arrivals over no time: %w", len(at), edge.ErrInvalid)
	}
	t := Trace{gaps: make([]float64, len(at)-1)}
	mean := float64(at[len(at)-1].Sub(at[0])) / float64(len(t.gaps))
	for i := range t.gaps {
		gap := at[i+1].Sub(at[i])
		if gap < 0 {
			return Trace{}, fmt.Errorf("cannot read trace: arrival %d is before the one before it: %w", i+2, edge.ErrInvalid)
		}
		t.gaps[i] = float64(gap) / mean
	}
	return t, nil
}

// Name of the process.
func (Trace) Name() string { return "trace" }

// Gaps are the recorded ones.
func (t Trace) Gaps(r *rand.Rand, _ time.Duration) func() float64 {
	next := r.IntN(len(t.gaps))
	return func() float64 {
		gap := t.gaps[next]
		next = (next + 1) % len(t.gaps)
		return gap
	}
}
