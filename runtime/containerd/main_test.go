package containerd_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/build/privated"
	"holdfast/edge"
	"holdfast/runtime/containerd"
	"holdfast/runtime/relay"
)

// fixture is what all tests share, made when the first needs it: one private daemon
// and one program for the containers. Each test works in a namespace of its own.
type fixture struct {
	start   sync.Once
	failed  error
	daemon  *privated.Daemon
	dir     string
	cgroup  string
	program []byte
	next    atomic.Int64
}

var shared = newFixture(filepath.Join(os.TempDir(), "hf-driver-test"))

// newFixture names the cgroup after the folder, so that two runs that do not share the one
// do not share the other, which is emptied at the end.
func newFixture(dir string) *fixture {
	return &fixture{dir: dir, cgroup: "/" + strings.ReplaceAll(strings.Trim(dir, "/"), "/", "-")}
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == relay.Verb {
		os.Exit(relay.Main(context.Background(), os.Args[2:], os.Stderr))
	}
	if text := os.Getenv(confinedVariable); text != "" {
		if err := runErrand(text); err != nil {
			fmt.Fprintln(os.Stderr, err, edge.HintOf(err))
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func (f *fixture) open(t testing.TB) {
	t.Helper()
	f.start.Do(func() { f.failed = f.make() })
	if f.failed != nil {
		t.Fatal(f.failed)
	}
}

// startWithin is long: another run of these tests may hold the folder.
const startWithin = 5 * time.Minute

func (f *fixture) make() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	if f.daemon, err = privated.Start(ctx, privated.Options{Dir: f.dir, CgroupParent: f.cgroup, Discard: true}); err != nil {
		return err
	}
	program := filepath.Join(f.dir, "testprog")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./testdata/testprog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build test program: %w\n%s", err, out)
	}
	f.program, err = os.ReadFile(program)
	return err
}

func (f *fixture) close() error {
	if f.daemon == nil {
		return nil
	}
	return f.daemon.Close()
}

// node is one driver under test with its own namespace and folders.
type node struct {
	*containerd.Driver
	opts containerd.Options
	log  *bytes.Buffer
}

// newNode opens a driver, with the test image in its store, and holds it at the
// end of the test against everything that must not be left.
func newNode(t testing.TB) *node {
	t.Helper()
	n := newEmptyNode(t)
	n.importImage(t, testImage())
	return n
}

func newEmptyNode(t testing.TB) *node {
	t.Helper()
	shared.open(t)
	return nodeOn(t, shared.daemon.Socket(), shared.cgroup)
}

// nodeOn opens a driver on a daemon.
func nodeOn(t testing.TB, socket, cgroup string) *node {
	t.Helper()
	name := fmt.Sprintf("t%d", shared.next.Add(1))
	// Short, for the sockets in it.
	run, err := os.MkdirTemp("/run", "hft-")
	if err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer)
	n := &node{log: log, opts: containerd.Options{
		Address: socket, Namespace: name, StateDir: t.TempDir(), RunDir: run,
		CgroupParent: cgroup + "/" + name,
		Log:          slog.New(slog.NewTextHandler(log, nil)),
	}}
	n.Driver = n.again(t)
	t.Cleanup(func() {
		n.close(t)
		os.RemoveAll(run)
	})
	return n
}

// again opens another driver over the same store.
func (n *node) again(t testing.TB) *containerd.Driver {
	t.Helper()
	driver, err := containerd.New(n.opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := driver.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return driver
}

func (n *node) close(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// One of its own: the test may have closed the others.
	driver, err := containerd.New(n.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	removeAll(ctx, t, driver)
	if left := n.leavings(ctx); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// clear removes all instances.
func (n *node) clear(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	removeAll(ctx, t, n.again(t))
}

func removeAll(ctx context.Context, t testing.TB, driver *containerd.Driver) {
	t.Helper()
	list, err := driver.Instances(ctx)
	if err != nil {
		t.Errorf("instances: %v", err)
	}
	for _, instance := range list {
		if err := driver.Remove(ctx, instance.ID); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
}

// leavings lists what instances can leave: containers, snapshots that are in use,
// shims, mounts, cgroups and files.
func (n *node) leavings(ctx context.Context) []string {
	var left []string
	note := func(what string, lines []string) {
		for _, line := range lines {
			left = append(left, what+" "+line)
		}
	}
	note("container", strings.Fields(n.ctr(ctx, "containers", "list", "--quiet")))
	note("task", strings.Fields(n.ctr(ctx, "tasks", "list", "--quiet")))
	for line := range strings.Lines(n.ctr(ctx, "snapshots", "list")) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == "Active" || strings.Contains(line, "View") {
			note("snapshot", []string{fields[0]})
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo") // without it the test sees no leak, and the check of this check fails
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "/"+n.opts.Namespace+"/") || strings.Contains(line, n.opts.RunDir) {
			note("mount", strings.Fields(line)[4:5])
		}
	}
	note("shim", n.shims())
	for _, pid := range n.relays() {
		note("relay", []string{fmt.Sprint(pid)})
	}
	note("cgroup", n.cgroups())
	for _, pattern := range []string{
		filepath.Join(n.opts.RunDir, "instances", "*"), filepath.Join(n.opts.RunDir, "fifo", "*"),
		filepath.Join(n.opts.RunDir, "runc", n.opts.Namespace, "*"), filepath.Join(n.opts.RunDir, "secrets", n.opts.Namespace, "*"),
		filepath.Join(n.opts.StateDir, "logs", "*"), filepath.Join(n.opts.StateDir, "import", "*"),
	} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		note("file", found)
	}
	return left
}

// cgroups lists those of the node's instances.
func (n *node) cgroups() []string {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		paths, _ := filepath.Glob(filepath.Join(pattern, n.opts.CgroupParent, "*")) // well formed
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && info.IsDir() { // the rest are the parent's own files
				found = append(found, path)
			}
		}
	}
	return found
}

// shims lists the processes that hold the node's instances.
func (n *node) shims() []string {
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	var found []string
	for _, path := range commands {
		text, _ := os.ReadFile(path) // gone: empty
		if bytes.Contains(text, []byte("\x00-namespace\x00"+n.opts.Namespace+"\x00")) && bytes.Contains(text, []byte(n.opts.Address)) {
			found = append(found, filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}

func (n *node) ctr(ctx context.Context, args ...string) string {
	args = append([]string{"--address", n.opts.Address, "--namespace", n.opts.Namespace}, args...)
	out, err := exec.CommandContext(ctx, shared.daemon.Tool("ctr"), args...).Output()
	if err != nil {
		return "ctr:" + err.Error()
	}
	return string(out)
}

// importImage packs an image and puts it into the store.
func (n *node) importImage(t testing.TB, p pack) []edge.Image {
	t.Helper()
	images, err := n.Import(t.Context(), bytes.NewReader(p.archive(t)))
	if err != nil {
		t.Fatal(err)
	}
	return images
}

// start starts an instance and waits until its program is set up.
func (n *node) start(t testing.TB, w edge.Workload, id string) edge.Instance {
	t.Helper()
	instance, err := n.Start(t.Context(), w, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := awaitReady(t.Context(), instance); err != nil {
		t.Fatal(err)
	}
	return instance
}

// awaitReady returns once the program says that it is set up.
func awaitReady(ctx context.Context, instance edge.Instance) error {
	return await(ctx, func() bool {
		text, _ := os.ReadFile(instance.LogPath)
		return bytes.Contains(text, []byte("ready\n"))
	})
}

// await looks again and again until what it looks for is so.
func await(ctx context.Context, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// behave is a workload of the test image.
func behave(args ...string) edge.Workload {
	return edge.Workload{App: "test", Name: "prog", Image: imageName, Command: args}
}

func (n *node) instance(t *testing.T, id string) edge.Instance {
	t.Helper()
	list, err := n.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, instance := range list {
		if instance.ID == id {
			return instance
		}
	}
	t.Fatalf("no instance %q among %v", id, list)
	return edge.Instance{}
}
