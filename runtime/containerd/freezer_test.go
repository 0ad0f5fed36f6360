package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

const (
	unifiedMount = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	freezerMount = "37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n"
	cpuMount     = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
)

func TestBrakesAmong(t *testing.T) {
	const v1, v2 = "/sys/fs/cgroup/freezer/holdfast/a-1/freezer.state", "/sys/fs/cgroup/unified/holdfast/a-1/cgroup.freeze"
	for name, c := range map[string]struct {
		groups, mounts string
		want           []string
	}{
		"SecondVersion":   {"0::/holdfast/a-1\n", "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", []string{"/sys/fs/cgroup/holdfast/a-1/cgroup.freeze"}},
		"FirstVersion":    {"6:freezer:/holdfast/a-1\n1:cpu:/holdfast/a-1\n", cpuMount + freezerMount, []string{v1}},
		"Both":            {"6:freezer:/holdfast/a-1\n0::/holdfast/a-1\n", freezerMount + unifiedMount, []string{v2, v1}},
		"SecondIsShared":  {"6:freezer:/holdfast/a-1\n0::/\n", freezerMount + unifiedMount, []string{v1}},
		"OneOfItsOwnMore": {"6:freezer:/holdfast/a-1/inner\n", freezerMount, []string{v1}},
		"JoinedMount": {"4:cpu,freezer:/a-1\n", "37 31 0:34 / /c rw - cgroup cgroup rw,cpu,freezer\n",
			[]string{"/c/a-1/freezer.state"}},
		"InsideAContainer": {"0::/docker/x/holdfast/a-1\n", "41 31 0:38 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
			[]string{"/sys/fs/cgroup/holdfast/a-1/cgroup.freeze"}},
		"BlankInPath":     {"0::/a-1\n", `41 31 0:38 / /my\040groups rw - cgroup2 cgroup2 rw` + "\n", []string{"/my groups/a-1/cgroup.freeze"}},
		"OptionalFields":  {"0::/a-1\n", "41 31 0:38 / /c rw shared:9 master:1 - cgroup2 cgroup2 rw\n", []string{"/c/a-1/cgroup.freeze"}},
		"AnotherSubtree":  {"0::/docker/y/a-1\n", "41 31 0:38 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", nil},
		"AnothersName":    {"6:freezer:/holdfast/a-12\n", freezerMount, nil},
		"OfTheHost":       {"6:freezer:/\n0::/\n", freezerMount + unifiedMount, nil},
		"AboveNamespace":  {"0::/../a-1\n", unifiedMount, nil},
		"NoFreezer":       {"1:cpu:/holdfast/a-1\n", cpuMount, nil},
		"NoMount":         {"0::/holdfast/a-1\n", "", nil},
		"Garbage":         {"0\n:\n::\n", "x - y\n - \n1 2 3 4 5 - cgroup2\n", nil},
		"FreezerUnlisted": {"1:cpu:/holdfast/a-1\n", freezerMount, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := containerd.BrakesAmong(c.groups, c.mounts, "a-1"); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzBrakesAmong(f *testing.F) {
	f.Add("0::/holdfast/a-1\n", unifiedMount)
	f.Add("6:freezer:/holdfast/a-1\n", freezerMount)
	f.Add("0::/x/../a-1\n", `41 31 0:38 /x /my\040groups rw - cgroup2 cgroup2 rw`)
	f.Fuzz(func(t *testing.T, groups, mounts string) {
		for _, file := range containerd.BrakesAmong(groups, mounts, "a-1") {
			// Whatever is written there concerns the instance alone.
			if filepath.Base(filepath.Dir(file)) != "a-1" {
				t.Errorf("got %q of groups %q and mounts %q", file, groups, mounts)
			}
		}
	})
}

// tree is a cgroup as files, of either version.
func tree(t *testing.T, name, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func wantText(t *testing.T, file, want string) {
	t.Helper()
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s: got %q (%v), want %q", filepath.Base(file), got, err, want)
	}
}

func TestFreezers(t *testing.T) {
	for version, c := range map[string]struct{ name, on, off string }{
		"First": {"freezer.state", "FROZEN", "THAWED"}, "Second": {"cgroup.freeze", "1", "0"},
	} {
		t.Run(version+"Version", func(t *testing.T) {
			file := tree(t, c.name, c.off)
			d := containerd.WithFreezer("a", file)
			for range 2 {
				if err := d.Suspend(t.Context(), "a"); err != nil {
					t.Fatal(err)
				}
				wantText(t, file, c.on)
			}
			if err := d.Resume(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			wantText(t, file, c.off)
		})
	}
	t.Run("CloseLeavesNothingHalted", func(t *testing.T) {
		file := tree(t, "cgroup.freeze", "0")
		d := containerd.WithFreezer("a", file)
		if err := d.Suspend(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		wantText(t, file, "0")
	})
	t.Run("KernelRefuses", func(t *testing.T) {
		d := containerd.WithFreezer("a", t.TempDir()) // a folder takes no writes
		if err := d.Suspend(t.Context(), "a"); err == nil {
			t.Error("got no error from a write that failed")
		}
		if err := d.Resume(t.Context(), "a"); err != nil {
			t.Errorf("got %v from resuming what goes on", err)
		}
	})
	t.Run("CgroupGone", func(t *testing.T) {
		file := tree(t, "cgroup.freeze", "0")
		d := containerd.WithFreezer("a", file)
		if err := d.Suspend(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := d.Resume(t.Context(), "a"); err != nil {
			t.Errorf("got %v from resuming what has ended", err)
		}
		if err := d.Suspend(t.Context(), "a"); err == nil {
			t.Error("got no error from suspending what has ended")
		}
	})
	t.Run("Held", func(t *testing.T) {
		file := tree(t, "cgroup.freeze", "0")
		d := containerd.WithFreezer("a", file)
		if err := d.Suspend(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		release := d.Hold("a")
		wantText(t, file, "0")
		if err := d.Suspend(t.Context(), "a"); err == nil {
			t.Error("what is held was suspended")
		}
		again := d.Hold("a")
		release()
		if err := d.Suspend(t.Context(), "a"); err == nil {
			t.Error("what is held once more was suspended")
		}
		again()
		if err := d.Suspend(t.Context(), "a"); err != nil {
			t.Errorf("got %v from suspending what is free again", err)
		}
		wantText(t, file, "1")
		d.Hold("unknown")()
		if err := d.Suspend(t.Context(), "unknown"); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v, want %v", err, edge.ErrNotFound)
		}
	})
}

// cpu is the time an instance has used.
func (n *node) cpu(t *testing.T, id string) time.Duration {
	t.Helper()
	usage, err := n.Usage(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return usage.CPU
}

// awaitWork returns once the instance has used more than it had.
func (n *node) awaitWork(t *testing.T, id string, before time.Duration) {
	t.Helper()
	if err := await(t.Context(), func() bool { return n.cpu(t, id) > before }); err != nil {
		t.Fatalf("it does not work: %v", err)
	}
}

// awaitRest returns what an instance has used, once it has used no more for a while: one
// that the kernel is still halting may pause before it has its last moment.
func (n *node) awaitRest(t *testing.T, id string) (used time.Duration) {
	t.Helper()
	const while = 20 * time.Millisecond
	var since time.Time
	err := await(t.Context(), func() bool {
		before := used
		if used = n.cpu(t, id); used != before {
			since = time.Now()
		}
		return time.Since(since) > while
	})
	if err != nil {
		t.Fatalf("it does not rest: %v", err)
	}
	return used
}

// TestDriver_Suspend halts a container that works, by each means this machine has.
func TestDriver_Suspend(t *testing.T) {
	n := newNode(t)
	instance := n.start(t, behave("spin"), "spinner-1")
	brakes := n.Brakes(instance.ID)
	if len(brakes) == 0 {
		t.Fatal("this machine has no freezer")
	}
	for i, file := range brakes {
		t.Run(filepath.Base(file), func(t *testing.T) {
			n.BrakeFirst(instance.ID, i)
			defer func() {
				if err := n.Resume(context.Background(), instance.ID); err != nil {
					t.Error(err)
				}
				n.BrakeFirst(instance.ID, i)
			}()
			n.awaitWork(t, instance.ID, n.cpu(t, instance.ID))
			began := time.Now()
			if err := n.Driver.Suspend(t.Context(), instance.ID); err != nil {
				t.Fatal(err)
			}
			took := time.Since(began)
			before := n.awaitRest(t, instance.ID)
			looked := time.Now()
			for time.Since(looked) < 100*time.Millisecond {
				if got := n.cpu(t, instance.ID); got != before {
					t.Fatalf("it has used %v while it was suspended", got-before)
				}
			}
			began = time.Now()
			if err := n.Resume(t.Context(), instance.ID); err != nil {
				t.Fatal(err)
			}
			t.Logf("suspended in %v, resumed in %v", took, time.Since(began))
			n.awaitWork(t, instance.ID, before)
		})
	}
}

func TestDriver_ExecInSuspended(t *testing.T) {
	n := newNode(t)
	instance := n.start(t, behave("sleep"), "sleeper-1")
	for i := range n.Brakes(instance.ID) {
		n.BrakeFirst(instance.ID, i)
		if err := n.Driver.Suspend(t.Context(), instance.ID); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		var out bytes.Buffer
		exit, err := n.Exec(ctx, instance.ID, []string{"/testprog", "echo"}, strings.NewReader("heard"), &out, nil)
		cancel()
		if err != nil || exit.Code != 0 || out.String() != "heard" {
			t.Errorf("got %+v, %q and %v, want a command that runs", exit, out.String(), err)
		}
	}
}

// TestDriver_SuspendedAndDaemon kills the daemon while an instance is suspended: that
// concerns neither, and a listing of the same driver changes nothing.
func TestDriver_SuspendedAndDaemon(t *testing.T) {
	n := newNode(t)
	instance := n.start(t, behave("sleep"), "sleeper-1")
	if err := n.Driver.Suspend(t.Context(), instance.ID); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(shared.daemon.Kill(), shared.daemon.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	// The daemon meets its shims again.
	err := await(t.Context(), func() bool {
		list, err := n.Instances(t.Context())
		return err == nil && len(list) == 1 && list[0].PID == instance.PID
	})
	if err != nil {
		t.Fatal(err)
	}
	if halted, err := n.Halted(instance.ID); err != nil || !halted {
		t.Errorf("got halted %v (%v) after the daemon came back, want it as it was", halted, err)
	}
	if err := n.Resume(t.Context(), instance.ID); err != nil {
		t.Fatal(err)
	}
	if halted, err := n.Halted(instance.ID); err != nil || halted {
		t.Errorf("got halted %v (%v) of what was resumed", halted, err)
	}
}
