package contained_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"holdfast/build/await"
	"holdfast/build/image/oci"
	"holdfast/build/privated"
	"holdfast/edge"
	"holdfast/edge/localapi"
)

const (
	agentImage = "holdfast.example/holdfast:1"
	modelImage = "contained.example/digits:1"
	// within bounds whatever is waited for. All of it takes two seconds alone.
	within = 60 * time.Second
)

// node is a containerd and the folders that an agent has on it.
type node struct {
	t          *testing.T
	daemon     *privated.Daemon
	dir        string
	state, run string
	cgroup     string
	client     *localapi.Client
}

func newNode(t *testing.T) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf-inside-") // a short path: sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	run, err := os.MkdirTemp("/run", "hf-inside-") // on a tmpfs, as the agent wants it
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, dir: dir, run: run, state: filepath.Join(dir, "agent"), cgroup: "/" + filepath.Base(dir)}
	if n.daemon, err = privated.Start(t.Context(), privated.Options{Dir: dir, CgroupParent: n.cgroup}); err != nil {
		t.Fatal(err)
	}
	n.client = localapi.Dial(filepath.Join(run, "holdfast.sock"))
	t.Cleanup(func() {
		n.client.Close()
		if err := errors.Join(n.daemon.Close(), os.RemoveAll(dir), os.RemoveAll(run)); err != nil {
			t.Error(err)
		}
	})
	if err := os.MkdirAll(filepath.Join(n.state, "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	return n
}

// pack builds a program of this module and packs it as an image.
func (n *node) pack(spec oci.Spec, pkg, archive string) {
	n.t.Helper()
	program := filepath.Join(n.t.TempDir(), "program")
	cmd := exec.CommandContext(n.t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", "grpcnotrace,nethttpomithttp2", "-ldflags", "-s -w", "-o", program, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("%v\n%s", err, out)
	}
	spec.Binaries = map[string]string{goruntime.GOOS + "/" + goruntime.GOARCH: program}
	index, err := oci.Build(spec)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := oci.WriteArchive(archive, spec.Name, index); err != nil {
		n.t.Fatal(err)
	}
}

// ctr calls containerd's own tool, in the namespace of the agent's container.
func (n *node) ctr(words ...string) string {
	n.t.Helper()
	out, err := n.tryCtr(n.t.Context(), words...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

func (n *node) tryCtr(ctx context.Context, words ...string) (string, error) {
	cmd := exec.CommandContext(ctx, n.daemon.Tool("ctr"), append([]string{"-a", n.daemon.Socket(), "-n", "system"}, words...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("ctr %s: %w: %s", strings.Join(words, " "), err, &stderr)
	}
	return string(out), err
}

// startAgent starts the agent's container with all that it needs of the node, and nothing
// else. Paths are the same inside and outside, because containerd is told them.
func (n *node) startAgent(name string) {
	n.t.Helper()
	socket := filepath.Dir(n.daemon.Socket())
	bind := func(path, mode string) string {
		return "type=bind,src=" + path + ",dst=" + path + ",options=rbind:" + mode
	}
	// The node's processes. Its first one has them too, but not everybody may look there.
	pids := fmt.Sprintf("pid:/proc/%d/ns/pid", os.Getpid())
	words := []string{
		"run", "--detach", "--read-only", "--net-host", "--with-ns", pids, "--cgroup", n.cgroup + "/" + name,
		"--mount", bind(socket, "rw"), "--mount", bind(n.run, "rw"), "--mount", bind(n.state, "rw"), "--mount", bind("/sys/fs/cgroup", "rw"),
		"--mount", "type=bind,src=" + filepath.Join(n.dir, "etc") + ",dst=/etc/holdfast,options=rbind:ro",
		"--log-uri", "file://" + filepath.Join(n.dir, name+".log"),
		agentImage, name, "/usr/bin/holdfast", "run",
		"--set", "paths.state=" + n.state, "--set", "paths.run=" + n.run, "--set", "api.listen=",
		"--set", "containerd.address=" + n.daemon.Socket(), "--set", "containerd.namespace=inside",
		"--set", "containerd.cgroupParent=" + n.cgroup + "/instances",
	}
	n.ctr(words...)
	n.t.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(n.dir, name+".log")); n.t.Failed() && err == nil {
			n.t.Logf("%s says:\n%s", name, text)
		}
	})
}

// stopAgent ends the agent's container as whoever upgrades it does.
func (n *node) stopAgent(name string) {
	n.t.Helper()
	n.ctr("tasks", "kill", "--signal", "SIGTERM", name)
	n.await("the agent's end", func(ctx context.Context) error {
		list, err := n.tryCtr(ctx, "tasks", "list")
		if err == nil && !strings.Contains(list, "STOPPED") {
			err = errors.New(list)
		}
		return err
	})
	n.ctr("tasks", "delete", name) // fails with its exit code unless that is 0
	n.ctr("containers", "delete", name)
}

func (n *node) await(what string, is func(context.Context) error) {
	n.t.Helper()
	await.Until(n.t, within, 20*time.Millisecond, what, is)
}

// instance waits for the one instance to be ready.
func (n *node) instance() (instance edge.InstanceView) {
	n.t.Helper()
	n.await("the model to be ready", func(ctx context.Context) error {
		views, err := n.client.Workloads(ctx)
		if err != nil {
			return err
		}
		if len(views) != 1 || views[0].Ready != 1 || len(views[0].Instances) != 1 {
			return fmt.Errorf("got %+v", views)
		}
		instance = views[0].Instances[0]
		return nil
	})
	return instance
}

const workloads = `
name: line
services:
  digits:
    image: ` + modelImage + `
    deploy: {resources: {limits: {cpus: "1", memory: 64M}}}
    x-holdfast: {model: digits, endpoint: "unix:///run/model/model.sock", cost: 5ms}
`

func TestAgent_InContainer(t *testing.T) {
	n := newNode(t)
	agent := filepath.Join(n.dir, "holdfast.oci.tar")
	n.pack(oci.Spec{
		Name: agentImage, Entry: []string{"/usr/bin/holdfast"}, Command: []string{"run"}, User: "0:0",
		Mkdirs: []string{"/etc/holdfast", "/var/lib/holdfast", "/run/holdfast"},
	}, "../../..", agent)
	n.pack(oci.Spec{Name: modelImage, Entry: []string{"/server"}, User: "65532:65532"}, "../../sample/server",
		filepath.Join(n.state, "images", "digits.oci.tar"))
	n.ctr("images", "import", agent)
	etc := filepath.Join(n.dir, "etc")
	if err := errors.Join(os.Mkdir(etc, 0o755), os.WriteFile(filepath.Join(etc, "line.yaml"), []byte(workloads), 0o644),
		os.WriteFile(filepath.Join(etc, "config.yaml"), []byte("node: {name: inside}\nworkloads: {compose: /etc/holdfast/line.yaml}\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	n.startAgent("first")
	before := n.instance()
	n.ask()
	if got := namespaceOf(t, before.PID); got == namespaceOf(t, n.pid()) {
		t.Errorf("the instance stands in the agent's own container: both have %s", got)
	}
	t.Run("Replaced", func(t *testing.T) {
		n.stopAgent("first")
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", before.PID)); err != nil {
			t.Errorf("the instance has ended with the agent's container: %v", err)
		}
		n.startAgent("second")
		if after := n.instance(); after.PID != before.PID || after.ID != before.ID {
			t.Errorf("got instance %s, process %d, want %s, %d as before", after.ID, after.PID, before.ID, before.PID)
		}
		n.ask()
	})
	t.Run("VerbInside", func(t *testing.T) {
		out := n.ctr("tasks", "exec", "--exec-id", "look", "second", "/usr/bin/holdfast", "--address", filepath.Join(n.run, "holdfast.sock"), "status")
		if !strings.Contains(out, "inside") {
			t.Errorf("got %q, want the node's name in it", out)
		}
	})
	n.stopAgent("second")
}

// ask has the model answer.
func (n *node) ask() {
	n.t.Helper()
	input, err := os.ReadFile("../../../testdata/digits/3.json")
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), within)
	defer cancel()
	result, err := n.client.Infer(ctx, "digits", edge.Payload{Body: input}, localapi.InferOptions{Deadline: 20 * time.Second})
	if err != nil || !strings.Contains(string(result.Payload.Body), "label") {
		n.t.Errorf("got %s, %v, want an answer", result.Payload.Body, err)
	}
}

// pid is the agent's process, as it tells it itself: it shares the node's numbers.
func (n *node) pid() uint32 {
	n.t.Helper()
	status, err := n.client.Status(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return uint32(status.PID)
}

// namespaceOf is the mount namespace of a process.
func namespaceOf(t *testing.T, pid uint32) string {
	t.Helper()
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		t.Fatal(err)
	}
	return name
}
