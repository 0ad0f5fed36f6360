package load_test

import (
	"math"
	"testing"

	"holdfast/edge/load"
)

// TestNeeded holds the figures against those that are published for a p99 that is to be
// sure by 99 %.
func TestNeeded(t *testing.T) {
	for missed, want := range map[int]int{0: 459, 5: 1307, 100: 12571} {
		got := load.Needed(missed, 0.99, 0.99)
		if got != want {
			t.Errorf("with %d missed: %d, want %d", missed, got, want)
		}
		if before, after := load.Confidence(got-1, missed, 0.99), load.Confidence(got, missed, 0.99); before >= 0.99 || after < 0.99 {
			t.Errorf("with %d missed, %d tasks are sure by %v and one less by %v", missed, got, after, before)
		}
	}
}

// TestConfidence compares with all outcomes of a few tasks, one by one.
func TestConfidence(t *testing.T) {
	for n := range 12 {
		for missed := range n + 2 {
			for _, part := range []float64{0.5, 0.9, 0.99} {
				want := 0.0
				for fate := range 1 << n {
					late, chance := 0, 1.0
					for i := range n {
						if fate>>i&1 == 1 {
							late++
							chance *= 1 - part
						} else {
							chance *= part
						}
					}
					if late > missed {
						want += chance
					}
				}
				if got := load.Confidence(n, missed, part); math.Abs(got-want) > 1e-9 {
					t.Errorf("%d of %d missed, part %v: %v, want %v", missed, n, part, got, want)
				}
			}
		}
	}
}
