package containerd_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// specWith is a container's record that sets so much of the CPU aside; 0: it does not say.
func specWith(t testing.TB, shares uint64) typeurl.Any {
	t.Helper()
	s := &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{CPU: &specs.LinuxCPU{}}}}
	if shares > 0 {
		s.Linux.Resources.CPU.Shares = &shares
	}
	spec, err := typeurl.MarshalAny(s)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestDriver_Weigh(t *testing.T) {
	for name, c := range map[string]struct {
		version, file         string
		shares                uint64
		batch, normal, urgent string
	}{
		"First":            {"cgroup", "cpu.shares", 0, "1024", "4096", "16384"},
		"FirstSetAside":    {"cgroup", "cpu.shares", 512, "512", "2048", "8192"},
		"FirstAtItsMost":   {"cgroup", "cpu.shares", 32768, "32768", "131072", "262144"},
		"Second":           {"cgroup2", "cpu.weight", 0, "100", "400", "1600"},
		"SecondSetAside":   {"cgroup2", "cpu.weight", 2, "1", "4", "16"},
		"SecondAtItsMost":  {"cgroup2", "cpu.weight", 40960, "4000", "10000", "10000"},
		"SecondBeyondMost": {"cgroup2", "cpu.weight", 204800, "10000", "10000", "10000"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), c.file)
			write := func(text string) {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("")
			d, err := containerd.WithScale("a-1", c.version, filepath.Dir(file), specWith(t, c.shares))
			if err != nil {
				t.Fatal(err)
			}
			wantText(t, file, c.batch)
			for class, want := range map[edge.Class]string{edge.Urgent: c.urgent, edge.Normal: c.normal} {
				write("")
				if err := d.Weigh(t.Context(), "a-1", class); err != nil {
					t.Fatal(err)
				}
				wantText(t, file, want)
				write("")
				if err := d.Weigh(t.Context(), "a-1", class); err != nil {
					t.Fatal(err)
				}
				wantText(t, file, "") // it had that weight
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			wantText(t, file, c.batch)
		})
	}
	t.Run("Gone", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cpu.weight"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := containerd.WithScale("a-1", "cgroup2", dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "cpu.weight")); err != nil {
			t.Fatal(err)
		}
		if err := d.Weigh(t.Context(), "a-1", edge.Urgent); err != nil {
			t.Errorf("got %v of a cgroup that is gone, want nothing", err)
		}
		if err := d.Weigh(t.Context(), "a-2", edge.Urgent); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v of an instance nobody knows, want %v", err, edge.ErrNotFound)
		}
	})
}

// TestDriver_WeighLate: what weighs an instance that has just ended does not make its tenant
// weigh more for ever.
func TestDriver_WeighLate(t *testing.T) {
	tenant := filepath.Join(t.TempDir(), "@vision")
	for _, folder := range []string{"", "a-1", "beside"} {
		if err := os.MkdirAll(filepath.Join(tenant, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tenant, folder, "cpu.weight"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := containerd.WeighLate("a-1", filepath.Join(tenant, "a-1"), edge.Urgent); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(tenant, "cpu.weight"))
	if got := strings.TrimRight(string(text), "0"); err != nil || got != "1" || len(text) < 3 { // files are not cut off here, as the kernel does
		t.Errorf("the tenant weighs %q, %v, want 100 for the one that is left", text, err)
	}
}

func TestCPUFolders(t *testing.T) {
	const v1, v2 = "/sys/fs/cgroup/cpu/holdfast/a-1", "/sys/fs/cgroup/unified/holdfast/a-1"
	for name, c := range map[string]struct {
		groups, mounts string
		want           []string
	}{
		"Both":        {"3:cpu,cpuacct:/holdfast/a-1\n0::/holdfast/a-1\n", cpuMount + unifiedMount, []string{v2, v1}},
		"First":       {"3:cpu:/holdfast/a-1\n", freezerMount + cpuMount, []string{v1}},
		"AnothersOwn": {"3:cpu:/holdfast/a-2\n0::/\n", cpuMount + unifiedMount, nil},
		"NotCPUset":   {"3:cpuset:/holdfast/a-1\n", "32 31 0:29 / /c rw - cgroup cgroup rw,cpuset\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := containerd.CPUFolders(c.groups, c.mounts, "a-1"); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestDriver_WeighReal weighs a real container, and lets another driver take it over.
func TestDriver_WeighReal(t *testing.T) {
	n := newNode(t)
	w := behave("sleep")
	w.Request.CPUs = 0.5
	instance := n.start(t, w, "sleeper-1")
	weight := func(d *containerd.Driver) string {
		t.Helper()
		_, weight, err := d.Weight(instance.ID)
		if err != nil {
			t.Fatal(err)
		}
		return weight
	}
	rest := weight(n.Driver)
	if rest != "512" && rest != "50" {
		t.Errorf("got %s at rest, want what is set aside: 512, or 50 of the second version", rest)
	}
	if err := n.Weigh(t.Context(), instance.ID, edge.Urgent); err != nil {
		t.Fatal(err)
	}
	if urgent := weight(n.Driver); urgent != "8192" && urgent != "800" {
		t.Errorf("got %s for urgent tasks, want 16 times what is set aside", urgent)
	}
	next := n.again(t)
	if _, err := next.Instances(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := weight(next); got != rest {
		t.Errorf("got %s after another driver took it over, want %s", got, rest)
	}
}

// BenchmarkDriver_Weigh is what a dispatch costs whose class is another than the last
// one's, and one whose class is the same.
func BenchmarkDriver_Weigh(b *testing.B) {
	n := newNode(b)
	instance := n.start(b, behave("spin"), "spinner-1")
	for name, classes := range map[string][2]edge.Class{"Changing": {edge.Urgent, edge.Batch}, "Same": {edge.Urgent, edge.Urgent}} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := n.Weigh(b.Context(), instance.ID, classes[i%2]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDriver_SuspendUnderLoad halts what has the least weight while every core is taken
// by what has the most: how long the write takes, and how long until the kernel says that
// all of it stands still. What waits for a core meanwhile uses none.
func BenchmarkDriver_SuspendUnderLoad(b *testing.B) {
	n := newNode(b)
	victim := n.start(b, behave("spin"), "victim-1")
	for i := range goruntime.NumCPU() {
		rival := n.start(b, behave("spin"), fmt.Sprintf("rival-%d", i))
		if err := n.Weigh(b.Context(), rival.ID, edge.Urgent); err != nil {
			b.Fatal(err)
		}
	}
	var writes, halts []time.Duration
	for b.Loop() {
		began := time.Now()
		if err := n.Driver.Suspend(b.Context(), victim.ID); err != nil {
			b.Fatal(err)
		}
		writes = append(writes, time.Since(began))
		for !standsStill(b, n.Brakes(victim.ID)[0]) {
			goruntime.Gosched()
		}
		halts = append(halts, time.Since(began))
		if err := n.Resume(b.Context(), victim.ID); err != nil {
			b.Fatal(err)
		}
	}
	for name, took := range map[string][]time.Duration{"write": writes, "halt": halts} {
		slices.Sort(took)
		for _, percent := range []int{50, 99} {
			b.ReportMetric(float64(took[(len(took)-1)*percent/100].Microseconds()), fmt.Sprintf("µs-%s-p%d", name, percent))
		}
	}
}

// standsStill tells whether the kernel has halted all that it was to halt.
func standsStill(b *testing.B, brake string) bool {
	says, want := brake, "FROZEN"
	if filepath.Base(brake) == "cgroup.freeze" {
		says, want = filepath.Join(filepath.Dir(brake), "cgroup.events"), "frozen 1"
	}
	text, err := os.ReadFile(says)
	if err != nil {
		b.Fatal(err)
	}
	return strings.Contains(string(text), want)
}
