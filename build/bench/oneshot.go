package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/build/stand"
	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

const (
	toolImage = "holdfast.example/tool:1"
	// heldOut is what the tool reads, of the repository's own.
	heldOut = "testdata/digits/heldout.csv"
)

// oneShot compares a task that finds a container ready, asked of the agent and answered,
// with `ctr run --rm` of the same program on the same daemon, image and input, in turn.
func (b *bench) oneShot(ctx context.Context) (err error) {
	node, err := b.stand.Beside(stand.Options{
		Dir: filepath.Join(b.options.dir, "oneshot"), Binary: b.options.binary, Compose: "build/bench/oneshot.yaml",
		Set: []string{"containerd.namespace=oneshot"},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	if err := node.StartAgent(ctx); err != nil {
		return err
	}
	if err := node.Import(ctx, b.options.tool); err != nil {
		return err
	}
	if err := node.AwaitModel(ctx, "report"); err != nil {
		return err
	}
	samples, err := os.ReadFile(heldOut)
	if err != nil {
		return fmt.Errorf("cannot read samples: %w", err)
	}
	t := toolRun{node: node, samples: samples}
	if err := t.take(ctx, b.options.containers); err != nil {
		return err
	}
	t.print()
	if err := t.footprint(ctx); err != nil {
		return err
	}
	return node.StopAgent(ctx) // which takes away what stands ready
}

// toolRun is one comparison.
type toolRun struct {
	node          *stand.Stand
	samples       []byte
	want          string // what the tool writes
	ours, theirs  []time.Duration
	compute, made []time.Duration
}

func (t *toolRun) take(ctx context.Context, times int) error {
	for i := range times + 3 {
		theirs, err := t.ctr(ctx, fmt.Sprintf("ctr-%d", i))
		if err != nil {
			return err
		}
		if err := t.rested(ctx); err != nil {
			return err
		}
		ours, compute, err := t.ask(ctx)
		if err != nil {
			return err
		}
		begun := time.Now()
		if err := t.rested(ctx); err != nil {
			return err
		}
		if i >= 3 { // the first ones warm up
			t.ours, t.theirs, t.compute, t.made = append(t.ours, ours), append(t.theirs, theirs), append(t.compute, compute), append(t.made, time.Since(begun))
		}
	}
	return nil
}

// rested returns once one stands ready and nothing of a task is left, so that neither side
// is measured while the other is cleared away.
func (t *toolRun) rested(ctx context.Context) error {
	_, err := until(ctx, time.Now(), func() bool {
		views, err := t.node.Client().Workloads(ctx)
		return err == nil && len(views) == 1 && views[0].OneShot.Warm > 0 && views[0].OneShot.Busy+views[0].OneShot.Spent == 0
	})
	return err
}

// ask has the agent run a task, and says how long that took, and how long the tool was at
// work for the scheduler.
func (t *toolRun) ask(ctx context.Context) (took, compute time.Duration, err error) {
	input, _ := oip.BytesTensor("input", []int64{1}, [][]byte{t.samples}, true)
	request, err := oip.InferRequest{Inputs: []oip.Tensor{input}}.Payload()
	if err != nil {
		return 0, 0, err
	}
	class := edge.Urgent
	begun := time.Now()
	result, err := t.node.Client().Infer(ctx, "report", request, localapi.InferOptions{Class: &class, Deadline: 10 * time.Second})
	took = time.Since(begun)
	if err != nil {
		return 0, 0, err
	}
	answer, err := oip.ParseResponse(result.Payload)
	if err != nil {
		return 0, 0, err
	}
	values, err := answer.Outputs[0].Strings()
	if err != nil {
		return 0, 0, err
	}
	return took, result.Compute, t.same(string(values[0]))
}

// same wants both sides to have done the same work.
func (t *toolRun) same(output string) error {
	if t.want == "" {
		t.want = output
	}
	if output != t.want || !strings.Contains(output, `"samples":450`) {
		return fmt.Errorf("the tool wrote %q, and %q before", output, t.want)
	}
	return nil
}

func (t *toolRun) ctr(ctx context.Context, id string) (time.Duration, error) {
	// By a mount, for ctr may miss the end of its standard input, and then waits for ever.
	file, err := filepath.Abs(heldOut)
	if err != nil {
		return 0, fmt.Errorf("cannot find samples: %w", err)
	}
	run := exec.CommandContext(ctx, ".tools/bin/ctr", "--address", t.node.Daemon.Socket(), "--namespace", "oneshot",
		"run", "--rm", "--mount", "type=bind,src="+file+",dst=/in/samples.csv,options=rbind:ro",
		toolImage, id, "/tool", "report", "-model", "digits-lite", "-from", "/in/samples.csv")
	var output, complaint strings.Builder
	run.Stdout, run.Stderr = &output, &complaint
	begun := time.Now()
	if err := run.Run(); err != nil {
		return 0, fmt.Errorf("cannot run tool with ctr: %w: %s", err, &complaint)
	}
	return time.Since(begun), t.same(output.String())
}

func (t *toolRun) print() {
	for _, list := range [][]time.Duration{t.ours, t.theirs, t.compute, t.made} {
		slices.Sort(list)
	}
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p90", 0.9}} {
		mine, base := quantile(t.ours, q.at), quantile(t.theirs, q.at)
		row("one-shot task from the warm pool, "+q.name, millis(mine), millis(base), float64(mine)/float64(base), "≤ 0.5× (baseline: `ctr run --rm`)")
		row("the same: of it the tool's own container, "+q.name, millis(quantile(t.compute, q.at)), "", 0, "")
		row("until the pool is as before, "+q.name, millis(quantile(t.made, q.at)), "", 0, "")
	}
}

// footprint measures what stands ready: its shim, and the process that waits in it.
func (t *toolRun) footprint(ctx context.Context) error {
	views, err := t.node.Client().Workloads(ctx)
	if err != nil {
		return err
	}
	pids := processesWith(func(words []string) bool {
		return strings.HasPrefix(filepath.Base(words[0]), "containerd-shim") && slices.Contains(words, "oneshot") ||
			filepath.Base(words[0]) == "runc" && slices.Contains(words, "init")
	})
	memory, err := proportional(pids)
	if err != nil {
		return err
	}
	row("memory of a container that stands ready", fmt.Sprintf("%.1f MiB", float64(memory)/float64(views[0].OneShot.Warm)/(1<<20)), "", 0, "")
	return nil
}
