package containerd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// confinedVariable makes the test program an agent with the few capabilities that
// its service leaves it. It holds an errand.
const confinedVariable = "HOLDFAST_TEST_CONFINED"

// errand is what a confined agent does: start one instance, or remove it.
type errand struct {
	Confined bool // its capabilities are dropped
	Node     place
	Workload edge.Workload
	ID       string
	Remove   bool
	More     []uintptr // capabilities beside kept
	Host     uint32    // a process whose network is the agent's; 0: the test's own
	Watch    bool      // it follows the daemon until its input ends, and first removes who does not run
}

// place is what of a driver's options can be told to another process.
type place struct{ Address, Namespace, StateDir, RunDir, CgroupParent string }

func (n *node) place() place {
	return place{n.opts.Address, n.opts.Namespace, n.opts.StateDir, n.opts.RunDir, n.opts.CgroupParent}
}

// kept is the bounding set of the agent's unit (build/systemd) but for CAP_KILL, so that
// the way without it is tried too.
var kept = []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_CHOWN, unix.CAP_FOWNER}

// send has a confined agent do an errand and returns what it complained of.
func (e errand) send(t *testing.T) string {
	t.Helper()
	out, err := e.command(t).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return ""
}

func (e errand) command(t *testing.T) *exec.Cmd {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), own)
	if e.Host != 0 {
		cmd = exec.CommandContext(t.Context(), "nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", e.Host), own)
	}
	cmd.Env = append(os.Environ(), confinedVariable+"="+string(encode(t, e)))
	return cmd
}

// runErrand is the confined agent's main.
func runErrand(text string) error {
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return err
	}
	if !e.Confined {
		return e.confine()
	}
	dir, err := os.MkdirTemp("", "hf-confined-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	err = unix.Mount("tmpfs", dir, "tmpfs", 0, "")
	if may := slices.Contains(e.More, unix.CAP_SYS_ADMIN); may && err == nil {
		err = errors.Join(unix.Unmount(dir, 0), unix.EPERM)
	}
	if !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("got %w from a mount, want %w: this is not confined", err, unix.EPERM)
	}
	driver, err := containerd.New(containerd.Options{
		Address: e.Node.Address, Namespace: e.Node.Namespace,
		StateDir: e.Node.StateDir, RunDir: e.Node.RunDir, CgroupParent: e.Node.CgroupParent, AskEvery: 50 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	defer driver.Close()
	if err := driver.Open(); err != nil {
		return err
	}
	switch {
	case e.Remove:
		return driver.Remove(context.Background(), e.ID)
	case e.Watch:
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if err := clearAll(ctx, driver); err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // its end is all it says
			cancel()
		}()
		return driver.Watch(ctx, func(edge.DaemonReport) {})
	}
	_, err = driver.Start(context.Background(), e.Workload, e.ID)
	return err
}

// clearAll removes what an earlier agent did not bring to its end.
func clearAll(ctx context.Context, driver *containerd.Driver) error {
	list, err := driver.Instances(ctx)
	for _, instance := range list {
		if !instance.Running {
			err = errors.Join(err, driver.Remove(ctx, instance.ID))
		}
	}
	return err
}

// confine drops the capabilities and begins anew without them.
func (e errand) confine() error {
	goruntime.LockOSThread() // they are a thread's, until it becomes a program
	for number := uintptr(0); number <= unix.CAP_LAST_CAP; number++ {
		if slices.Contains(kept, number) || slices.Contains(e.More, number) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, number, 0, 0, 0)
		if err != nil && !errors.Is(err, unix.EINVAL) { // one that this kernel does not have
			return err
		}
	}
	e.Confined = true
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, confinedVariable+"=") })
	return syscall.Exec("/proc/self/exe", os.Args, append(env, confinedVariable+"="+string(text)))
}

// TestDriver_Confined: an agent with no more rights than its service has starts
// instances, those too whose user is a name that only the image knows.
func TestDriver_Confined(t *testing.T) {
	n := newEmptyNode(t)
	p := testImage()
	p.below = []map[string]string{{"etc/passwd": "model:x:1234:100::/:\n", "etc/group": "video:x:44:model\n"}}
	p.user = "model"
	n.importImage(t, p)
	if complaint := (errand{Node: n.place(), Workload: behave("sleep"), ID: "confined"}).send(t); complaint != "" {
		t.Fatal(complaint)
	}
	got := status(t, n.instance(t, "confined").PID)
	if uid, gid := strings.Fields(got["Uid"])[0], strings.Fields(got["Gid"])[0]; uid != "1234" || gid != "100" {
		t.Errorf("got %s:%s, want 1234:100", uid, gid)
	}
	t.Run("Complains", func(t *testing.T) {
		w := behave("sleep")
		w.User = "stranger"
		complaint := errand{Node: n.place(), Workload: w, ID: "refused"}.send(t)
		if !strings.Contains(complaint, "stranger") {
			t.Errorf("got %q of a user that is not in the image, want a complaint", complaint)
		}
	})
}

// TestDriver_ConfinedNetworks: with the rights of the drop-in (build/systemd) an agent puts
// instances on networks and takes them off; without, it says what is missing.
func TestDriver_ConfinedNetworks(t *testing.T) {
	n := newNode(t)
	before := bridges(t)
	db := on("line", "db", []string{"back"}, "answer", "i am the database")
	complaint := errand{Node: n.place(), Workload: db, ID: "db"}.send(t)
	if !strings.Contains(complaint, "networks.conf") {
		t.Errorf("got %q, want what is missing", complaint)
	}
	rights := []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE}
	if complaint := (errand{Node: n.place(), Workload: db, ID: "db", More: rights}).send(t); complaint != "" {
		t.Fatal(complaint)
	}
	if got, want := n.calls(t, "line", []string{"back"}, "db:7000"), "db:7000 i am the database\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if complaint := (errand{Node: n.place(), ID: "db", Remove: true, More: rights}).send(t); complaint != "" {
		t.Fatal(complaint)
	}
	n.wantNoNetworks(t, before)
}
