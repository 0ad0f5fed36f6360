package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (b *bench) binarySize(context.Context) error {
	info, err := os.Stat(b.options.binary)
	if err != nil {
		return fmt.Errorf("cannot weigh binary: %w", err)
	}
	row("binary, stripped", mebibytes(uint64(info.Size())), "", 0, "≤ 24 MiB")
	return nil
}

// startToReady restarts the agent and takes the time it reports itself, from
// process start to READY, beside how long the same binary takes to print its
// version: the part no agent could save.
func (b *bench) startToReady(ctx context.Context) error {
	const starts = 11
	ready, bare := make([]time.Duration, 0, starts), make([]time.Duration, 0, starts)
	for range starts {
		if err := b.stand.StopAgent(ctx); err != nil {
			return err
		}
		took, err := commandTime(ctx, b.options.binary, "version")
		if err != nil {
			return err
		}
		bare = append(bare, took)
		begun := time.Now()
		if err := b.stand.StartAgent(ctx); err != nil {
			return err
		}
		ready = append(ready, time.Since(begun))
	}
	slices.Sort(ready)
	slices.Sort(bare)
	row("start to first answer of the API, median of 11", ready[starts/2].Round(100*time.Microsecond).String(),
		bare[starts/2].Round(100*time.Microsecond).String(), float64(ready[starts/2])/float64(bare[starts/2]), "≤ 50 ms (baseline: `holdfast version`)")
	return b.awaitInstances(ctx)
}

// startOver is how long after its start an agent has given back what only the start
// needed.
const startOver = 15 * time.Second

// memory reads what the agent holds with ten instances, after the sections above
// have made it work, and after it has worked again once its start is over.
func (b *bench) memory(ctx context.Context) error {
	begun, err := b.held(ctx)
	if err != nil {
		return err
	}
	if err := pause(ctx, startOver); err != nil {
		return err
	}
	lasting, err := b.held(ctx)
	if err != nil {
		return err
	}
	row("agent resident memory, 10 instances", mebibytes(lasting["VmRSS"]), mebibytes(begun["VmRSS"]),
		float64(lasting["VmRSS"])/float64(begun["VmRSS"]), "≤ 24 MiB (baseline: in its first seconds)")
	row("  of it anonymous", mebibytes(lasting["RssAnon"]), mebibytes(begun["RssAnon"]),
		float64(lasting["RssAnon"])/float64(begun["RssAnon"]), "≤ 10 MiB")
	return nil
}

// held has the agent work, and reads what it holds then.
func (b *bench) held(ctx context.Context) (map[string]uint64, error) {
	if err := b.warm(ctx, 500); err != nil {
		return nil, err
	}
	return processStatus(b.stand.AgentPID())
}

// awaitInstances returns once all instances are ready.
func (b *bench) awaitInstances(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return b.stand.AwaitInstances(ctx)
}

// processStatus reads the byte counts of /proc/PID/status.
func processStatus(pid int) (map[string]uint64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, fmt.Errorf("cannot read memory of agent: %w", err)
	}
	defer file.Close()
	values := map[string]uint64{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		number, isSize := strings.CutSuffix(strings.TrimSpace(value), " kB")
		if n, err := strconv.ParseUint(number, 10, 64); err == nil && isSize {
			values[name] = n << 10
		}
	}
	return values, nil
}

// processTime is the processor time a process has taken so far, in steps of 10 ms;
// 0 when it cannot be told.
func processTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// Behind the program's name, which may hold anything, user and system time are
	// the 12th and 13th word.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, _ := strconv.ParseInt(field, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func mebibytes(bytes uint64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// commandTime is how long a command takes from start to end.
func commandTime(ctx context.Context, name string, arguments ...string) (time.Duration, error) {
	begun := time.Now()
	err := exec.CommandContext(ctx, name, arguments...).Run()
	if err != nil {
		return 0, fmt.Errorf("cannot run %s: %w", name, err)
	}
	return time.Since(begun), nil
}
