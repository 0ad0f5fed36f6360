package load

import "math"

// Confidence is how sure it is, from 0 to 1, that at least part of all tasks are on
// time, after so many of which so many were not: 1 less the chance that a node which keeps
// just that part would do so well (the binomial distribution).
func Confidence(tasks, missed int, part float64) float64 {
	if tasks == 0 || missed >= tasks {
		return 0
	}
	return 1 - atMost(tasks, missed, 1-part)
}

// Needed is how many tasks it takes, with so many not on time among them, to be as sure
// of part as asked: the rule by which a run may end early.
func Needed(missed int, part, sure float64) int {
	low, high := missed, missed+1
	for Confidence(high, missed, part) < sure {
		low, high = high, 2*high
	}
	for high-low > 1 {
		if middle := low + (high-low)/2; Confidence(middle, missed, part) < sure {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// atMost is the chance of at most k in n when each has the chance p.
func atMost(n, k int, p float64) float64 {
	sum := 0.0
	for i := range k + 1 {
		sum += math.Exp(logChoose(n, i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}

func logChoose(n, k int) float64 { return logFactorial(n) - logFactorial(k) - logFactorial(n-k) }

func logFactorial(n int) float64 {
	value, _ := math.Lgamma(float64(n) + 1)
	return value
}
