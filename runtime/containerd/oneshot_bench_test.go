package containerd_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast/runtime/oneshot"
)

// BenchmarkReady_Run takes the time from a container that stands ready to its answer.
func BenchmarkReady_Run(b *testing.B) {
	n := newEmptyNode(b)
	n.importImage(b, testImage())
	ctx, w := b.Context(), tool("exit", "0")
	var ours, theirs, makes, removes []time.Duration
	runs := 0
	for ; b.Loop(); runs++ {
		id := fmt.Sprintf("warm-%d", runs)
		t0 := time.Now()
		made, err := n.Ready(ctx, w, id)
		if err != nil {
			b.Fatal(err)
		}
		t1 := time.Now()
		if result, err := made.Run(ctx, oneshot.Order{Most: 1 << 20}); err != nil || result.Exit.Code != 0 {
			b.Fatal(result, err)
		}
		t2 := time.Now()
		made.Close()
		if err := n.Remove(ctx, id); err != nil {
			b.Fatal(err)
		}
		t3 := time.Now()
		if err := ctrRun(ctx, n, fmt.Sprintf("ctr-%d", runs)); err != nil {
			b.Fatal(err)
		}
		t4 := time.Now()
		makes, ours, removes, theirs = append(makes, t1.Sub(t0)), append(ours, t2.Sub(t1)), append(removes, t3.Sub(t2)), append(theirs, t4.Sub(t3))
	}
	for name, list := range map[string][]time.Duration{"make": makes, "run": ours, "remove": removes, "ctr": theirs} {
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(list[len(list)*9/10].Microseconds())/1000, name+"-p90-ms")
	}
}
