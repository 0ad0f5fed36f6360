package containerd_test

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"
)

// BenchmarkOneShot runs one container to its end, hardened by the driver and as
// ctr does it without, on the same daemon and in turns, so that whatever else the
// machine does weighs on both.
func BenchmarkOneShot(b *testing.B) {
	n := newEmptyNode(b)
	n.importImage(b, testImage())
	ctx, w := b.Context(), behave("exit", "0")
	var ours, theirs time.Duration
	runs := 0
	for ; b.Loop(); runs++ {
		begun := time.Now()
		if exit, err := n.RunOnce(ctx, w, fmt.Sprintf("once-%d", runs), nil); err != nil || exit.Code != 0 {
			b.Fatal(exit, err)
		}
		between := time.Now()
		if err := ctrRun(ctx, n, fmt.Sprintf("ctr-%d", runs)); err != nil {
			b.Fatal(err)
		}
		ours, theirs = ours+between.Sub(begun), theirs+time.Since(between)
	}
	b.ReportMetric(float64(ours.Microseconds())/float64(runs)/1000, "driver-ms/op")
	b.ReportMetric(float64(theirs.Microseconds())/float64(runs)/1000, "ctr-ms/op")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "of-ctr")
}

func ctrRun(ctx context.Context, n *node, id string) error {
	run := exec.CommandContext(ctx, shared.daemon.Tool("ctr"), "--address", n.opts.Address, "--namespace", n.opts.Namespace,
		"run", "--rm", imageName, id, "/testprog", "exit", "0")
	return run.Run()
}
