package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bench runs `bench schedule` with few tasks.
func bench(t *testing.T, args ...string) (code int, out, complaint string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"bench", "schedule", "--count", "40", "--seeds", "1", "--load", "0.9"}, args...)
	code = Main(t.Context(), Process{Args: args, Stdout: &stdout, Stderr: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestBenchSchedule(t *testing.T) {
	t.Run("Table", func(t *testing.T) {
		code, out, complaint := bench(t)
		if code != ExitOK || strings.Count(out, "\n") != 1+2*8 || !strings.Contains(out, "edf-hopeless") {
			t.Errorf("code %d, %q:\n%s", code, complaint, out)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		code, out, complaint := bench(t, "-o", "json", "--arrivals", "poisson", "--policies", "plan,fifo", "--error", "1")
		var report scheduleReport
		if err := json.Unmarshal([]byte(out), &report); code != ExitOK || err != nil {
			t.Fatalf("code %d, %v, %q", code, err, complaint)
		}
		if len(report.Cells) != 1 || report.Error != 1 || report.Cells[0].Tasks != 40 || len(report.Cells[0].Outcomes) != 2 {
			t.Errorf("reported %+v", report)
		}
	})
	t.Run("PlotAndTrace", func(t *testing.T) {
		dir := t.TempDir()
		trace, plot := filepath.Join(dir, "trace.csv"), filepath.Join(dir, "plot.svg")
		if err := os.WriteFile(trace, []byte("TIMESTAMP\n2023-11-16 18:15:46\n2023-11-16 18:15:47\n2023-11-16 18:15:50\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, complaint := bench(t, "--trace", trace, "--plot", plot, "--policies", "plan")
		drawn, err := os.ReadFile(plot)
		if code != ExitOK || err != nil || !strings.Contains(out, "trace") || !strings.Contains(string(drawn), "<svg") {
			t.Errorf("code %d, %v, %q:\n%s", code, err, complaint, out)
		}
	})
	t.Run("Ladder", func(t *testing.T) {
		code, out, complaint := bench(t, "-o", "json", "--arrivals", "poisson", "--policies", "plan", "--load", "4", "--count", "400", "--ladder", "0.5,0.25")
		var report scheduleReport
		if err := json.Unmarshal([]byte(out), &report); code != ExitOK || err != nil {
			t.Fatalf("code %d, %v, %q", code, err, complaint)
		}
		if smaller := report.Cells[len(report.Cells)-1].Outcomes[0].Smaller; smaller <= 0 {
			t.Errorf("%v of the tasks were answered by a smaller variant, want some", smaller)
		}
	})
	t.Run("Hiccups", func(t *testing.T) {
		code, out, complaint := bench(t, "-o", "json", "--arrivals", "poisson", "--policies", "plan", "--learn", "--hiccups", "0.5:9")
		var report scheduleReport
		if err := json.Unmarshal([]byte(out), &report); code != ExitOK || err != nil {
			t.Fatalf("code %d, %v, %q", code, err, complaint)
		}
		if overlong := report.Cells[0].Outcomes[0].UrgentOverlong; overlong <= 0 {
			t.Errorf("%v of the urgent tasks took longer than they had, want some", overlong)
		}
	})
	for name, args := range map[string][]string{
		"Ladder":  {"--ladder", "1.5"},
		"Hiccups": {"--hiccups", "often"}, "NoFactor": {"--hiccups", "0.01"}, "Shorter": {"--hiccups", "0.01:0.5"},
		"NoSuchPolicy": {"--policies", "best"}, "NoSuchArrivals": {"--arrivals", "rain"}, "NoSuchMix": {"--mix", "soup"},
		"NoTrace": {"--arrivals", "trace"}, "NoSuchTrace": {"--trace", "/nonexistent"}, "Bursts": {"--burst", "50"},
		"NoCores": {"--cores", "0"}, "NoSeeds": {"--seeds", "0"}, "Argument": {"now"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, _, complaint := bench(t, args...); code != ExitUsage || complaint == "" {
				t.Errorf("code %d, %q; want %d and why", code, complaint, ExitUsage)
			}
		})
	}
}
