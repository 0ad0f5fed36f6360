package containerd_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// kernelSays reads a file of a cgroup, under the name it has in either version.
func kernelSays(t *testing.T, group string, names ...string) string {
	t.Helper()
	for _, name := range names {
		for _, place := range []string{"", "cpu", "memory", "blkio"} {
			text, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", place, group, name))
			if err == nil {
				return strings.TrimSpace(string(text))
			}
		}
	}
	t.Fatalf("there is none of %v in any cgroup %s", names, group)
	return ""
}

func memoryOf(t *testing.T, group string) string {
	t.Helper()
	return kernelSays(t, group, "memory.max", "memory.limit_in_bytes")
}

// tenants is a node whose policy bounds tenants; it may be changed while the test goes on.
type tenants struct {
	*node
	policy edge.Policy
	image  string
}

func newTenants(t *testing.T) *tenants {
	t.Helper()
	n := &tenants{node: newNode(t)}
	images, err := n.Images(t.Context())
	if err != nil || len(images) == 0 {
		t.Fatalf("got %v, %v", images, err)
	}
	name, _, _ := strings.Cut(imageName, ":")
	n.image = name + "@" + images[0].Digest
	n.bound(24 << 20)
	n.opts.Policy = func() *edge.Policy { return &n.policy }
	n.Driver = n.again(t)
	return n
}

func (n *tenants) bound(memory edge.Size) {
	n.policy = edge.Policy{
		Tenants:  map[string]edge.TenantPolicy{"vision": {Memory: memory}, edge.DefaultTenant: {}},
		Security: edge.SecurityPolicy{Images: edge.ImagePolicy{Allow: []string{strings.Split(n.image, "@")[0]}}},
	}
}

// of is a workload of a tenant with a limit of 24 MiB.
func (n *tenants) of(tenant string, args ...string) edge.Workload {
	w := behave(args...)
	w.Image, w.Tenant, w.Replicas, w.Limits.Memory = n.image, tenant, 1, 24<<20
	return w
}

func TestDriver_TenantMemory(t *testing.T) {
	n := newTenants(t)
	group := n.opts.CgroupParent + "/@vision"
	keeper := n.start(t, n.of("vision", "sleep"), "keeper")
	other := n.start(t, n.of("", "sleep"), "other")
	if got := memoryOf(t, group); got != strconv.Itoa(24<<20) {
		t.Errorf("got a bound of %s for the tenant, want 24 MiB", got)
	}
	// Its own limit is the tenant's: beside another, as in an update, it comes to the latter first.
	if _, err := n.Start(t.Context(), n.of("vision", "eat"), "eater"); err != nil {
		t.Fatal(err)
	}
	exit, err := n.Wait(t.Context(), "eater")
	if err != nil || !exit.OOM || exit.Short != "tenant vision" {
		t.Errorf("got %+v, %v, want an end for want of the tenant's memory", exit, err)
	}
	for _, instance := range []edge.Instance{keeper, other} {
		if !n.instance(t, instance.ID).Running {
			t.Errorf("%s has ended too", instance.ID)
		}
	}
	again := n.again(t)
	if exit, err := again.Wait(t.Context(), "eater"); err != nil || exit.Short != "tenant vision" {
		t.Errorf("got %+v, %v of another driver, want the same", exit, err)
	}
	t.Run("OwnLimit", func(t *testing.T) { // the negative control
		if _, err := n.Start(t.Context(), n.of("", "eat"), "alone"); err != nil {
			t.Fatal(err)
		}
		if exit, err := n.Wait(t.Context(), "alone"); err != nil || !exit.OOM || exit.Short != "" {
			t.Errorf("got %+v, %v, want an end at its own limit", exit, err)
		}
	})
	t.Run("Changes", func(t *testing.T) {
		for _, step := range []struct {
			memory edge.Size
			want   string
			fits   bool
		}{{48 << 20, strconv.Itoa(48 << 20), true}, {16 << 10, strconv.Itoa(48 << 20), false}, {32 << 20, strconv.Itoa(32 << 20), true}} {
			n.bound(step.memory)
			if err := n.Confine(); (err == nil) != step.fits {
				t.Errorf("%v: got %v", step.memory, err)
			}
			if got := memoryOf(t, group); got != step.want {
				t.Errorf("%v: got a bound of %s, want %s", step.memory, got, step.want)
			}
		}
		n.bound(0)
		if err := n.Confine(); err != nil {
			t.Error(err)
		}
		if got := memoryOf(t, group); got != "max" && len(got) < 19 {
			t.Errorf("got a bound of %s without one in the policy", got)
		}
	})
	t.Run("Leaves", func(t *testing.T) {
		for _, id := range []string{"keeper", "eater"} {
			if err := n.Remove(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if left := slices.DeleteFunc(n.cgroups(), func(path string) bool { return !strings.Contains(path, "@") }); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// TestDriver_TenantWeight: a tenant weighs what its instances weigh together.
func TestDriver_TenantWeight(t *testing.T) {
	n := newTenants(t)
	want := func(what, first, second string) {
		t.Helper()
		got := kernelSays(t, n.opts.CgroupParent+"/@vision", "cpu.weight", "cpu.shares")
		if got != first && got != second {
			t.Errorf("%s: got %s, want %s or %s", what, got, first, second)
		}
	}
	n.bound(64 << 20)
	n.start(t, n.of("vision", "sleep"), "one")
	want("one", "1024", "100")
	n.start(t, n.of("vision", "sleep"), "two")
	want("two", "2048", "200")
	if err := n.Weigh(t.Context(), "two", edge.Urgent); err != nil {
		t.Fatal(err)
	}
	want("an urgent task", "17408", "1700")
	next := n.again(t)
	if _, err := next.Instances(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("taken over", "2048", "200")
	if err := next.Remove(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	want("one is gone", "1024", "100")
}

func TestDriver_MemoryOfAll(t *testing.T) {
	n := newNode(t)
	n.opts.Most = func() int64 { return 24 << 20 }
	n.Driver = n.again(t)
	kept := behave("sleep")
	kept.Limits.Memory, kept.Request.Memory = 32<<20, 32<<20
	keeper := n.start(t, kept, "keeper")
	if got := memoryOf(t, n.opts.CgroupParent); got != strconv.Itoa(24<<20) {
		t.Errorf("got a bound of %s for all, want 24 MiB", got)
	}
	for file, id := range map[string]uint32{"100": keeper.PID} {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(int(id)) + "/oom_score_adj")
		if got := strings.TrimSpace(string(text)); got != file || err != nil {
			t.Errorf("got a score of %s, %v, want %s for what is set aside whole", got, err, file)
		}
	}
	w := behave("eat")
	w.Limits.Memory = 64 << 20
	if _, err := n.Start(t.Context(), w, "eater"); err != nil {
		t.Fatal(err)
	}
	exit, err := n.Wait(t.Context(), "eater")
	if err != nil || !exit.OOM || exit.Short != "all instances together" {
		t.Errorf("got %+v, %v, want an end for want of what all may have", exit, err)
	}
	if want := "killed because the memory of all instances together was used up"; exit.String() != want {
		t.Errorf("got %q, want %q", exit, want)
	}
	if !n.instance(t, "keeper").Running {
		t.Error("what has its memory set aside has ended too")
	}
}

func TestFirst(t *testing.T) {
	folder := t.TempDir()
	const pid = "1" // whose score is 0
	for group, used := range map[string]int{"a-1": 3000, "@vision/b-1": 5000, "@vision/b-2": 9000, "@office/c-1": 7000, "@empty": 0} {
		if err := os.MkdirAll(filepath.Join(folder, group), 0o700); err != nil {
			t.Fatal(err)
		}
		if used == 0 {
			continue
		}
		for name, text := range map[string]string{"memory.current": strconv.Itoa(used), "memory.stat": "inactive_file 1000\n", "cgroup.procs": pid + "\n"} {
			if err := os.WriteFile(filepath.Join(folder, group, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for below, want := range map[string]string{"": "b-2", "@vision": "b-2", "@office": "c-1", "@empty": ""} {
		if got := containerd.FirstBelow("cgroup2", filepath.Join(folder, below), 1<<20); got != want {
			t.Errorf("%q: got %q, want %q", below, got, want)
		}
	}
}

func TestBoundMemory(t *testing.T) {
	for name, c := range map[string]struct{ version, limit, usage, none string }{
		"First":  {"cgroup", "memory.limit_in_bytes", "memory.usage_in_bytes", "-1"},
		"Second": {"cgroup2", "memory.max", "memory.current", "max"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			write := func(file, text string) {
				if err := os.WriteFile(filepath.Join(folder, file), []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want := func(text string) {
				t.Helper()
				got, err := os.ReadFile(filepath.Join(folder, c.limit))
				if !strings.HasPrefix(string(got), text) || err != nil { // what was longer before is not cut off here, as the kernel does
					t.Errorf("got %q, %v, want %s", got, err, text)
				}
			}
			bound := func(most int64) error {
				write(c.limit, "9223372036854771712")
				return containerd.BoundMemory(c.version, folder, most)
			}
			write(c.usage, "1048576")
			if err := bound(2 << 20); err != nil {
				t.Error(err)
			}
			want("2097152")
			if err := containerd.BoundMemory(c.version, folder, 1<<20-4096); err == nil {
				t.Error("it took a bound below what is used")
			}
			want("2097152")
			write(c.limit, "2097152")
			if err := containerd.BoundMemory(c.version, folder, 0); err != nil {
				t.Error(err)
			}
			want(c.none)
			write("memory.use_hierarchy", "0")
			if err := bound(2<<20 + 5); err != nil {
				t.Errorf("got %v, want a bound of whole pages", err)
			}
			want("2097152")
		})
	}
	t.Run("Gone", func(t *testing.T) {
		if err := containerd.BoundMemory("cgroup2", t.TempDir(), 1<<20); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want %v", err, os.ErrNotExist)
		}
	})
}

func TestHierarchies(t *testing.T) {
	const memory = "36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	for name, c := range map[string]struct {
		mounts, controller string
		unified, want      []string
	}{
		"First":        {memory, "memory", nil, []string{"cgroup=/sys/fs/cgroup/memory"}},
		"Second":       {"36 31 0:33 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "memory", []string{"cpu", "memory"}, []string{"cgroup2=/sys/fs/cgroup"}},
		"SecondOfDisk": {"36 31 0:33 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "blkio", []string{"io"}, []string{"cgroup2=/sys/fs/cgroup"}},
		"Hybrid":       {unifiedMount + memory, "memory", []string{"hugetlb"}, []string{"cgroup=/sys/fs/cgroup/memory"}},
		"None":         {unifiedMount, "memory", nil, nil},
		"Twice":        {memory + memory, "memory", nil, []string{"cgroup=/sys/fs/cgroup/memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := containerd.Hierarchies(c.mounts, c.controller, c.unified); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestEnsureCgroup makes one in a tree like that of the second version, whose controllers
// have to be let through from above.
func TestEnsureCgroup(t *testing.T) {
	top := t.TempDir()
	for _, folder := range []string{"", "holdfast", "holdfast/@vision"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(top, folder), 0o700), os.WriteFile(filepath.Join(top, folder, "cgroup.subtree_control"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := containerd.EnsureCgroup("cgroup2", top, "/holdfast/@vision"); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"", "holdfast", "holdfast/@vision"} {
		text, err := os.ReadFile(filepath.Join(top, folder, "cgroup.subtree_control"))
		if err != nil || !strings.HasPrefix(string(text), "+") {
			t.Errorf("got %q, %v at %q, want a controller let through", text, err, folder)
		}
	}
}

// TestScore: what is set aside is kept longest; among those who set nothing aside, or half
// of it, whoever may take more goes first.
func TestScore(t *testing.T) {
	inOrder := []struct{ limit, aside int64 }{
		{1 << 40, 1 << 40}, {64 << 20, 32 << 20}, {256 << 20, 128 << 20}, {1 << 20, 0}, {32 << 20, 0}, {256 << 20, 0}, {1 << 40, 0},
	}
	last := 0
	for _, of := range inOrder {
		score := containerd.Score(of.limit, of.aside)
		if score <= last || score > 1000 {
			t.Errorf("got %d for a limit of %d, of which %d aside, want more than %d and at most 1000", score, of.limit, of.aside, last)
		}
		last = score
	}
}
