package containerd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// status reads a process's own account of itself from the host's side.
func status(t *testing.T, pid uint32) map[string]string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[key] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

func expect(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("got %s %q, want %q", key, got[key], value)
		}
	}
}

const noCapabilities = "0000000000000000"

func TestDriver_Hardening(t *testing.T) {
	n := newNode(t)
	t.Run("Default", func(t *testing.T) {
		instance := n.start(t, behave("sleep"), "plain")
		expect(t, status(t, instance.PID), map[string]string{
			"Uid": "65532 65532 65532 65532", "Gid": "65532 65532 65532 65532", "Groups": "",
			"CapInh": noCapabilities, "CapPrm": noCapabilities, "CapEff": noCapabilities, "CapBnd": noCapabilities, "CapAmb": noCapabilities,
			"NoNewPrivs": "1", "Seccomp": "2",
		})
		t.Run("OwnNamespaces", func(t *testing.T) {
			for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts"} {
				ours, _ := os.Readlink("/proc/self/ns/" + kind)
				theirs, err := os.Readlink("/proc/" + strconv.Itoa(int(instance.PID)) + "/ns/" + kind)
				if err != nil || ours == theirs {
					t.Errorf("got %s namespace %q, %v, want another than the host's", kind, theirs, err)
				}
			}
		})
		t.Run("ScoredBeforeAgent", func(t *testing.T) {
			score, err := os.ReadFile("/proc/" + strconv.Itoa(int(instance.PID)) + "/oom_score_adj")
			if got := strings.TrimSpace(string(score)); got != "580" || err != nil {
				t.Errorf("got %q, %v, want 580: 500 and the doublings of a MiB up to 128", got, err)
			}
		})
		t.Run("Limits", func(t *testing.T) { checkLimits(t, n, "plain", 64, 128<<20, 100_000) })
	})
	t.Run("Relaxed", func(t *testing.T) {
		w := behave("sleep")
		w.Security = edge.Security{CapAdd: []string{"NET_BIND_SERVICE", "cap_chown"}, RunAsRoot: true}
		instance := n.start(t, w, "relaxed")
		const chownAndBind = "0000000000000401" // bits 0 and 10
		expect(t, status(t, instance.PID), map[string]string{
			"Uid": "0 0 0 0", "CapEff": chownAndBind, "CapBnd": chownAndBind, "NoNewPrivs": "1", "Seccomp": "2",
		})
	})
	t.Run("CapabilityForUser", func(t *testing.T) {
		w := behave("sleep")
		w.Security.CapAdd = []string{"NET_BIND_SERVICE"}
		instance := n.start(t, w, "capable")
		expect(t, status(t, instance.PID), map[string]string{"Uid": "65532 65532 65532 65532", "CapEff": "0000000000000400"})
	})
	t.Run("OwnLimits", func(t *testing.T) {
		w := behave("sleep")
		w.Limits = edge.Limits{CPUs: 0.25, Memory: 32 << 20, Pids: 20}
		n.start(t, w, "limited")
		checkLimits(t, n, "limited", 20, 32<<20, 25_000)
	})
}

// checkLimits reads what the kernel was told, in either version of cgroups.
func checkLimits(t *testing.T, n *node, id string, pids, memory, quota int) {
	t.Helper()
	group := n.opts.CgroupParent + "/" + id
	for value, files := range map[int][]string{
		pids:   {"pids" + group + "/pids.max", group + "/pids.max"},
		memory: {"memory" + group + "/memory.limit_in_bytes", group + "/memory.max"},
		quota:  {"cpu" + group + "/cpu.cfs_quota_us", group + "/cpu.max"},
	} {
		var got string
		for _, file := range files {
			if text, err := os.ReadFile("/sys/fs/cgroup/" + file); err == nil {
				got = strings.Fields(string(text))[0]
			}
		}
		if got != strconv.Itoa(value) {
			t.Errorf("got %q in one of %v, want %d", got, files, value)
		}
	}
}

func TestDriver_Files(t *testing.T) {
	n := newNode(t)
	writes := func(t *testing.T, w edge.Workload, id string) string {
		t.Helper()
		var out strings.Builder
		if _, err := n.RunOnce(t.Context(), w, id, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	w := behave("write", "/new", "/tmp/new", "/proc/sys/kernel/hostname", "/sys/new", "/scratch/new")
	w.Tmpfs = []edge.Tmpfs{{Path: "/scratch", Size: 1 << 20}}
	want := "/new false\n/tmp/new true\n/proc/sys/kernel/hostname false\n/sys/new false\n/scratch/new true\n"
	if got := writes(t, w, "readonly"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w = behave("write", "/new", "/sys/new")
	w.Security = edge.Security{WritableRoot: true, RunAsRoot: true}
	if got, want := writes(t, w, "writable"), "/new true\n/sys/new false\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDriver_Endpoint(t *testing.T) {
	n := newNode(t)
	w := behave("serve", "/run/model/model.sock")
	w.Serve = &edge.Serve{Model: "m", Endpoint: "unix:///run/model/model.sock"}
	instance := n.start(t, w, "server")
	if want := filepath.Join(n.opts.RunDir, "instances", "server", "model.sock"); instance.Socket != want {
		t.Errorf("got socket %q, want %q", instance.Socket, want)
	}
	got, err := get(t.Context(), instance.Socket)
	if err != nil || got != "served by 65532\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if adopted := n.instance(t, "server"); adopted.Socket != instance.Socket {
		t.Errorf("got socket %q of the adopted instance, want %q", adopted.Socket, instance.Socket)
	}
	info, err := os.Stat(filepath.Dir(instance.Socket))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got mode %v, %v, want a folder for its owner alone", info.Mode(), err)
	}
}

func TestDriver_User(t *testing.T) {
	n := newEmptyNode(t)
	p := testImage()
	p.below = []map[string]string{
		{"etc/passwd": "root:x:0:0::/:\nmodel:x:1:1::/:\n", "etc/group": "users:x:100:\nvideo:x:44:model\n"},
		{"etc/passwd": "root:x:0:0::/:\nmodel:x:1234:100::/:\n"},
	}
	p.user = "model"
	n.importImage(t, p)
	for name, test := range map[string]struct {
		user     string
		uid, gid string
	}{
		"OfImage": {"", "1234", "100"},
		"Number":  {"77", "77", "77"},
		"Listed":  {"1234", "1234", "1234"}, // without a look at the image's files
		"Pair":    {"77:88", "77", "88"},
		"Name":    {"model:video", "1234", "44"},
	} {
		t.Run(name, func(t *testing.T) {
			w := behave("sleep")
			w.User = test.user
			got := status(t, n.start(t, w, strings.ToLower(name)).PID)
			if uid, gid := strings.Fields(got["Uid"])[0], strings.Fields(got["Gid"])[0]; uid != test.uid || gid != test.gid {
				t.Errorf("got %s:%s, want %s:%s", uid, gid, test.uid, test.gid)
			}
		})
	}
	for name, user := range map[string]string{"Root": "root", "Zero": "0", "Unknown": "stranger", "UnknownGroup": "model:none", "Huge": "4294967296"} {
		t.Run(name, func(t *testing.T) {
			w := behave("sleep")
			w.User = user
			if _, err := n.Start(t.Context(), w, "refused"); !errors.Is(err, edge.ErrInvalid) && !errors.Is(err, edge.ErrNotFound) {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}

// TestVerify is the negative control of the check after each start: this test's
// own process runs as root with every capability, and must be found out.
func TestVerify(t *testing.T) {
	self := uint32(os.Getpid())
	if err := containerd.Verify(t.Context(), self, containerd.NewGuise(65532)); err == nil || !strings.Contains(err.Error(), "capabilities") {
		t.Errorf("got %v for a process that is not hardened, want it found out", err)
	}
	const noProcess = 1 << 30 // above the kernel's highest pid
	if err := containerd.Verify(t.Context(), noProcess, containerd.NewGuise(65532)); err != nil {
		t.Errorf("got %v for a process that has ended, want nothing", err)
	}
}
