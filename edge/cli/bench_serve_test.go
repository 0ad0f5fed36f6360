package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/load"
)

// serveFor runs `bench serve` where no agent is.
func serveFor(t *testing.T, args ...string) (code int, complaint string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"--address", filepath.Join(t.TempDir(), "none"), "bench", "serve"}, args...)
	code = Main(t.Context(), Process{Args: args, Stdout: &stdout, Stderr: &stderr})
	if stdout.Len() > 0 {
		t.Errorf("printed %q", stdout.String())
	}
	return code, stderr.String()
}

func TestBenchServe(t *testing.T) {
	mix := filepath.Join(t.TempDir(), "mix")
	if err := os.WriteFile(mix, []byte("soup\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"NoSuchMix": {"--mix", "/nonexistent"}, "BadMix": {"--mix", mix}, "BadTask": {"--task", "u=vip:50ms:1"},
		"NoSuchArrivals": {"--arrivals", "rain"}, "NoTrace": {"--arrivals", "trace"}, "Bursts": {"--burst", "50"},
		"NoLength": {"--length", "0s"}, "NoLoad": {"--load", "0"}, "Noise": {"--noise", "-1"}, "Argument": {"now"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, complaint := serveFor(t, args...); code != ExitUsage || complaint == "" {
				t.Errorf("code %d, %q; want %d and why", code, complaint, ExitUsage)
			}
		})
	}
	t.Run("NoAgent", func(t *testing.T) {
		for _, mix := range []string{"servers", "digits"} {
			if code, complaint := serveFor(t, "--mix", mix, "--task", "m=urgent:50ms:1"); code != ExitUnreachable || !strings.Contains(complaint, "hint: ") {
				t.Errorf("code %d, %q", code, complaint)
			}
		}
	})
}

// TestPrintLoad holds that people are told every figure and every doubt.
func TestPrintLoad(t *testing.T) {
	const ms = time.Millisecond
	var out bytes.Buffer
	err := printLoad(printer{out: &out}, load.Report{
		Order: "plan", Arrivals: "bursts", Load: 1.2, Slots: 2, Seed: 3, Length: time.Minute, Tasks: 42,
		Exact: true, Bound: 40, OnTime: 38, OfBound: 0.95,
		Classes: []load.ClassReport{{
			Class: edge.Urgent, Submitted: 42, OnTime: 38, Late: 1, Refused: 2, Evicted: 1,
			Latency: load.Quantiles{Of: 39, P50: 20 * ms, P90: 30 * ms, P99: 40 * ms},
			Alone:   load.Quantiles{Of: 9, P50: 19 * ms, P99: 32 * ms}, Stretch: 1.25, Sure: 0.5, Needed: 1157,
		}},
		Reasons:   map[string]int{"refused: queue_full": 2},
		Refusals:  load.Quantiles{Of: 2, P50: 300 * time.Microsecond, P99: 400 * time.Microsecond, Max: 400 * time.Microsecond},
		Generator: load.Quantiles{Of: 42, P50: 90 * time.Microsecond, P99: ms, Max: 2 * ms},
		Machine:   &load.Machine{CPUs: 2, Span: time.Minute, Models: time.Minute, Other: 0.031},
		Doubts:    []string{"tasks arrived for 1m0s, less than 10m0s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"plan: bursts at load 1.20 on 2 slots for 1m0s, seed 3: 42 tasks", "urgent", "1.25", "40ms",
		"on time 38 of at most 40.0 (work exactly known): 0.950 of the bound", "refused at once after 300µs p50, 400µs p99",
		"sent late by 90µs p50", "the generator had no precedence", "urgent: 50.0% sure", "1157 tasks", "refused: queue_full: 2",
		"models 50.0%", "other work 3.1%", "not to be quoted: tasks arrived for 1m0s",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}
