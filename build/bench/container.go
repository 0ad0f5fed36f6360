package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

const sampleImage = "holdfast.example/digits:1"

// probe is a program of the image that ends at once: the health check, which finds
// nobody listening.
func probe() []string { return []string{"/server", "-check"} }

// container compares a one-shot container through the driver, hardened as every
// container of the agent, with `ctr run --rm` of the same program on the same
// daemon, in turn.
func (b *bench) container(ctx context.Context) (err error) {
	driver, err := containerd.New(containerd.Options{
		Address: b.stand.Daemon.Socket(), Namespace: "bench",
		StateDir: filepath.Join(b.stand.Folder(), "once"), RunDir: b.stand.RunFolder("once"), CgroupParent: b.stand.Cgroup(),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, driver.Close()) }()
	if err := driver.Open(); err != nil {
		return err
	}
	if err := importInto(ctx, driver, b.options.image); err != nil {
		return err
	}
	var ours, theirs []time.Duration
	for i := range b.options.containers + 3 {
		took, err := runOnce(ctx, driver, fmt.Sprintf("once-%d", i))
		if err != nil {
			return err
		}
		base, err := b.ctrRun(ctx, fmt.Sprintf("ctr-%d", i))
		if err != nil {
			return err
		}
		if i >= 3 { // the first ones warm up
			ours, theirs = append(ours, took), append(theirs, base)
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p90", 0.9}} {
		mine, base := quantile(ours, q.at), quantile(theirs, q.at)
		row("one-shot container, start to removed, "+q.name, millis(mine), millis(base), float64(mine)/float64(base), "≤ 1.0× (baseline: `ctr run --rm`)")
	}
	return nil
}

func runOnce(ctx context.Context, driver *containerd.Driver, id string) (time.Duration, error) {
	begun := time.Now()
	exit, err := driver.RunOnce(ctx, edge.Workload{
		App: "bench", Name: "once", Image: sampleImage, Entrypoint: probe()[:1], Command: probe()[1:],
	}, id, nil)
	if err != nil {
		return 0, err
	}
	if exit.Code != 1 {
		return 0, fmt.Errorf("one-shot container %v, expected code 1", exit)
	}
	return time.Since(begun), nil
}

func (b *bench) ctrRun(ctx context.Context, id string) (time.Duration, error) {
	arguments := append([]string{"--address", b.stand.Daemon.Socket(), "--namespace", "bench", "run", "--rm", sampleImage, id}, probe()...)
	begun := time.Now()
	output, err := exec.CommandContext(ctx, ".tools/bin/ctr", arguments...).CombinedOutput()
	took := time.Since(begun)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		return 0, fmt.Errorf("cannot run container with ctr: %v: %s", err, output)
	}
	return took, nil
}

func importInto(ctx context.Context, driver *containerd.Driver, path string) error {
	archive, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot open image: %w", err)
	}
	defer archive.Close()
	_, err = driver.Import(ctx, archive)
	return err
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }
