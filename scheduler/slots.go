package scheduler

import "math/bits"

// seats gives each running task the number of a slot, the lowest that is free, so that it
// can be shown which one it runs in. The plan counts slots and does not ask which.
type seats []uint64 // a bit for each, set while it is taken

// take gives the lowest number from 0 that nobody has.
func (s *seats) take() int32 {
	for i, word := range *s {
		if free := bits.TrailingZeros64(^word); free < 64 {
			(*s)[i] |= 1 << free
			return int32(64*i + free)
		}
	}
	*s = append(*s, 1)
	return int32(64 * (len(*s) - 1))
}

// leave gives a number back.
func (s seats) leave(n int32) { s[n/64] &^= 1 << (n % 64) }
