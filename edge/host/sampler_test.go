package host_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge/host"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSampler_Sample(t *testing.T) {
	root := gateway.with(machine{
		"sys/class/hwmon/hwmon0/name":        "cpu_thermal\n",
		"sys/class/hwmon/hwmon0/temp1_input": "48312\n",
		"sys/class/hwmon/hwmon0/temp2_input": "broken\n",
		"sys/class/hwmon/hwmon1/name":        "board\n",
		"sys/class/hwmon/hwmon1/temp1_input": "51000\n",
	}).build(t)
	s := host.New(host.Options{StatePath: filepath.Join(t.TempDir(), "not", "there", "yet"), Root: root})
	if got := s.Vitals(); !got.At.IsZero() {
		t.Errorf("got %+v before the first sample, want zeros", got)
	}
	first := s.Sample()
	if first.CPU != 0 || first.Load1 != 0.5 || first.Temperature != 51 {
		t.Errorf("got %+v, want no CPU share yet, load 0.5 and 51 °C", first)
	}
	if first.MemoryTotal != 1_024_000_000 || first.MemoryUsed != 614_400_000 {
		t.Errorf("got memory %d of %d, want 614400000 of 1024000000", first.MemoryUsed, first.MemoryTotal)
	}
	if want := 2000 * uint64(os.Getpagesize()); first.AgentRSS != want {
		t.Errorf("got resident %d, want %d", first.AgentRSS, want)
	}
	if first.DiskTotal == 0 || first.Uptime <= 0 || first.Cores < 1 || first.AgentCPU <= 0 {
		t.Errorf("got %+v, want disk, uptime, cores and CPU time", first)
	}
	// 30 of 100 ticks busy since the first sample; 20 more waiting for I/O.
	write(t, filepath.Join(root, "proc/stat"), "cpu  110 0 110 850 20 0 5 5 0 0\n")
	second := s.Sample()
	if second.CPU < 0.299 || second.CPU > 0.301 {
		t.Errorf("got CPU share %v, want 0.3", second.CPU)
	}
	if got := s.Vitals(); got != second {
		t.Errorf("got %+v, want the last sample %+v", got, second)
	}
}

// TestSampler_OneSensorFails: each file missing takes its own field and no other,
// and is logged once when it goes and once when it is back.
func TestSampler_OneSensorFails(t *testing.T) {
	for path, sensor := range map[string]string{
		"proc/stat": "cpu", "proc/meminfo": "memory", "proc/self/statm": `"agent memory"`,
	} {
		t.Run(strings.ReplaceAll(path, "/", "-"), func(t *testing.T) {
			var log bytes.Buffer
			root := gateway.build(t)
			s := host.New(host.Options{StatePath: root, Root: root, Log: slog.New(slog.NewTextHandler(&log, nil))})
			s.Sample()
			if log.Len() != 0 {
				t.Fatalf("got %q of a sound machine, want silence", log.String())
			}
			file := filepath.Join(root, path)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			s.Sample()
			got := s.Sample()
			missing := map[string]bool{"cpu": got.CPU == 0, "memory": got.MemoryTotal == 0, `"agent memory"`: got.AgentRSS == 0}
			for name, absent := range missing {
				if want := name == sensor || name == "cpu"; absent != want { // CPU is 0 anyway: no tick passed
					t.Errorf("%s absent: got %v, want %v", name, absent, want)
				}
			}
			if got.Load1 != 0.5 || got.DiskTotal == 0 {
				t.Errorf("got %+v, want the others to stand", got)
			}
			write(t, file, gateway[path])
			s.Sample()
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if len(lines) != 2 || !strings.Contains(lines[0], "sensor-failed sensor="+sensor) || !strings.Contains(lines[1], "sensor-back sensor="+sensor) {
				t.Errorf("got log %q, want one line each way", lines)
			}
		})
	}
}

func TestSampler_AgentWritten(t *testing.T) {
	for name, c := range map[string]struct {
		file machine
		want uint64
		log  bool
	}{
		"Counted":    {machine{"proc/self/io": "rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n"}, 4096, false},
		"MoreIsGone": {machine{"proc/self/io": "write_bytes: 4096\ncancelled_write_bytes: 8192\n"}, 0, false},
		"NotCounted": {machine{}, 0, false},
		"NoNumber":   {machine{"proc/self/io": "write_bytes: many\n"}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			root := gateway.with(c.file).build(t)
			s := host.New(host.Options{StatePath: root, Root: root, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if got := s.Sample().AgentWritten; got != c.want || strings.Contains(log.String(), "agent writes") != c.log {
				t.Errorf("got %d, want %d; log %q", got, c.want, log.String())
			}
		})
	}
}

func TestSampler_Run(t *testing.T) {
	root := gateway.build(t)
	synctest.Test(t, func(t *testing.T) {
		s := host.New(host.Options{StatePath: root, Root: root})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		start := time.Now()
		synctest.Wait()
		if got := s.Vitals().At; !got.Equal(start) {
			t.Errorf("got the first sample at %v, want %v", got, start)
		}
		<-time.After(3*time.Second + time.Millisecond)
		synctest.Wait()
		if got := s.Vitals().At.Sub(start); got != 3*time.Second {
			t.Errorf("got the last sample after %v, want 3s", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("got %v, want a clean end", err)
		}
	})
}

func TestSampler_TemperatureIsSpacedOut(t *testing.T) {
	root := gateway.with(machine{"sys/class/thermal/thermal_zone0/type": "cpu\n", "sys/class/thermal/thermal_zone0/temp": "40000\n"}).build(t)
	synctest.Test(t, func(t *testing.T) {
		s := host.New(host.Options{StatePath: root, Root: root})
		s.Sample()
		write(t, filepath.Join(root, "sys/class/thermal/thermal_zone0/temp"), "60000\n")
		<-time.After(9 * time.Second)
		if got := s.Sample().Temperature; got != 40 {
			t.Errorf("got %v °C after 9 s, want the 40 of the last reading", got)
		}
		<-time.After(time.Second)
		if got := s.Sample().Temperature; got != 60 {
			t.Errorf("got %v °C after 10 s, want 60", got)
		}
	})
}

// TestSampler_Cost holds a sample under a hundredth of a core: at one a second
// that is 10 ms of CPU time. The mean of many keeps other load out of it.
func TestSampler_Cost(t *testing.T) {
	s := host.New(host.Options{StatePath: t.TempDir()})
	const samples = 50
	before := s.Sample().AgentCPU
	for range samples {
		s.Sample()
	}
	cost := (s.Vitals().AgentCPU - before) / samples
	t.Logf("a sample costs %v of CPU time", cost)
	if cost > 10*time.Millisecond {
		t.Errorf("got %v of CPU time for a sample, want less than 10ms", cost)
	}
}

func BenchmarkSampler_Sample(b *testing.B) {
	s := host.New(host.Options{StatePath: b.TempDir()})
	b.ReportAllocs()
	for b.Loop() {
		s.Sample()
	}
}
