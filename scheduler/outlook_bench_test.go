package scheduler

import (
	"fmt"
	"testing"
	"time"

	"holdfast/edge"
)

// suspendingFilled is a core of two slots that can suspend, with so many tasks waiting.
func suspendingFilled(tb testing.TB, n int) *core {
	tb.Helper()
	c := newCore(time.Now(), 2, [3]int{n + 9, n + 9, n + 9}, time.Millisecond)
	c.obey(Planned, 6)
	c.serve(0, []edge.Pool{serving("m", n+9, time.Millisecond)})
	for i := range n + 1 { // as many as fit
		it := &item{task: edge.Task{ID: fmt.Sprint("filler-", i), Model: "m", Class: edge.Normal}, deadline: instant(n/2+1)*instant(time.Millisecond) + instant(i)}
		if err := c.submit(0, it); err != nil {
			tb.Fatal(err)
		}
	}
	c.out = c.out[:0]
	return c
}

// BenchmarkOutlook_Refuse is a no, with what would be accepted in it, where tasks can be suspended.
func BenchmarkOutlook_Refuse(b *testing.B) {
	for _, n := range []int{10, 128, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := suspendingFilled(b, n)
			b.ReportAllocs()
			for b.Loop() {
				it := &item{task: edge.Task{ID: "newcomer", Model: "m", Class: edge.Normal}, deadline: instant(2 * time.Millisecond)}
				if c.submit(0, it) == nil {
					b.Fatal("accepted")
				}
				c.out = c.out[:0]
			}
		})
	}
}

// BenchmarkOutlook_SubmitDispatch is submitDispatch where tasks can be suspended.
func BenchmarkOutlook_SubmitDispatch(b *testing.B) {
	for _, n := range []int{10, 128} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			submitDispatch(b, suspendingFilled(b, n), edge.Task{Model: "m", Class: edge.Normal})
		})
	}
}
