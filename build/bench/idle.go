package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// shimsOf lists the shims of a namespace.
func shimsOf(namespace string) []int {
	return processesWith(func(words []string) bool {
		at := slices.Index(words, "-namespace")
		return at > 0 && at+1 < len(words) && words[at+1] == namespace
	})
}

// processesWith lists the processes whose command line is as wanted.
func processesWith(wanted func(words []string) bool) (pids []int) {
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	for _, path := range commands {
		text, _ := os.ReadFile(path) // gone: empty
		if words := strings.Split(string(text), "\x00"); words[0] != "" && wanted(words) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path))) // the pattern has digits alone
			pids = append(pids, pid)
		}
	}
	return pids
}

// idling takes what two groups of processes cost while nothing happens.
func idling(ctx context.Context, one, other []int) (first, second cost, err error) {
	begun := time.Now()
	oneBefore, otherBefore := spent(one), spent(other)
	if err := pause(ctx, steadyFor); err != nil {
		return cost{}, cost{}, err
	}
	took := time.Since(begun).Seconds()
	per := func(now, before expense) cost {
		return cost{(now.cpu - before.cpu).Seconds() / took, float64(now.wakes-before.wakes) / took}
	}
	return per(spent(one), oneBefore), per(spent(other), otherBefore), nil
}

// expense is what processes have cost so far.
type expense struct {
	cpu   time.Duration
	wakes uint64 // a thread was given a core anew
}

// spent adds up the threads of processes. One that has ended meanwhile is not counted,
// which none of those measured does.
func spent(pids []int) (sum expense) {
	for _, pid := range pids {
		stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well formed
		for _, path := range stats {
			text, _ := os.ReadFile(path) // gone: empty
			fields := strings.Fields(string(text))
			if len(fields) != 3 {
				continue
			}
			ran, _ := strconv.ParseInt(fields[0], 10, 64) // ns; the kernel writes numbers
			times, _ := strconv.ParseUint(fields[2], 10, 64)
			sum.cpu, sum.wakes = sum.cpu+time.Duration(ran), sum.wakes+times
		}
	}
	return sum
}

// proportional is what processes hold, each page by the part of those who share it.
func proportional(pids []int) (sum uint64, err error) {
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, fmt.Errorf("cannot read memory of process: %w", err)
		}
		for line := range bytes.Lines(text) {
			if rest, is := bytes.CutPrefix(line, []byte("Pss:")); is {
				n, err := strconv.ParseUint(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 10, 64)
				if err != nil {
					return 0, fmt.Errorf("cannot read memory of process: %w", err)
				}
				sum += n << 10
			}
		}
	}
	return sum, nil
}
