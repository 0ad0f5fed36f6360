package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/build/image/oci"
	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

// toolImage is the tool's, as its workloads name it.
const toolImage = "e2e.example/tool:1"

// importTool builds the tool, packs it as an image, and puts it into the node's store.
func (n *node) importTool() (archive string) {
	n.t.Helper()
	program := filepath.Join(n.t.TempDir(), "tool")
	archive = filepath.Join(n.t.TempDir(), "tool.tar")
	build := exec.CommandContext(n.t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-o", program, "holdfast/build/sample/tool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		n.t.Fatalf("build tool: %v\n%s", err, out)
	}
	index, err := oci.Build(oci.Spec{Name: toolImage, Entry: []string{"/tool"}, User: "65532:65532", Binaries: map[string]string{"linux/amd64": program}})
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := oci.WriteArchive(archive, toolImage, index); err != nil {
		n.t.Fatal(err)
	}
	n.importImage(archive)
	n.base = n.footprint() // the image stays
	return archive
}

// toolService is a workload of the tool that serves the model of its name.
func toolService(name, command, oneShot string) string {
	return fmt.Sprintf(`
  %s:
    image: %s
    command: %s
    deploy: {replicas: 2, resources: {limits: {cpus: "1", memory: 64M, pids: 32}}}
    x-holdfast: {model: %s, cost: 50ms, timeout: 20s, oneShot: %s}
`, name, toolImage, command, name, oneShot)
}

// tools are those of these tests.
func tools() []string {
	return []string{
		toolService("report", "[report]", "{}"),
		toolService("files", "[report, -from, /in/samples.csv, -to, /out/report.json]", "{input: /in/samples.csv, output: /out/report.json, warm: 1}"),
		toolService("hang", "[misbehave, hang]", "{warm: 1}"),
		toolService("fail", "[misbehave, fail]", "{warm: 1}"),
	}
}

// newToolNode starts a node on which the tools are ready.
func newToolNode(t testing.TB) *node {
	t.Helper()
	n := newNode(t, "scheduler.slots=2")
	n.importTool()
	n.deploy(tools()...)
	n.awaitTools()
	return n
}

func (n *node) awaitTools() {
	n.t.Helper()
	for _, model := range []string{"report", "files", "hang", "fail"} {
		n.await(model, func(ctx context.Context) error { return n.Client().ModelReady(ctx, model) })
	}
}

// heldOut are the samples that the tool reads.
func heldOut(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("../../testdata/digits/heldout.csv")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// askTool gives a tool its input and returns what it wrote.
func (n *node) askTool(ctx context.Context, model string, input []byte, o localapi.InferOptions) ([]byte, error) {
	tensor, _ := oip.BytesTensor("input", []int64{1}, [][]byte{input}, true)
	request, err := oip.InferRequest{Inputs: []oip.Tensor{tensor}}.Payload()
	if err != nil {
		return nil, err
	}
	result, err := n.Client().Infer(ctx, model, request, o)
	if err != nil {
		return nil, err
	}
	answer, err := oip.ParseResponse(result.Payload)
	if err != nil {
		return nil, err
	}
	values, err := answer.Outputs[0].Strings()
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// wantReport runs a tool over the samples and holds its report against them.
func (n *node) wantReport(model string, samples []byte) {
	n.t.Helper()
	output, err := n.askTool(context.Background(), model, samples, patient)
	var report struct{ Samples, Right int }
	if err == nil {
		err = json.Unmarshal(output, &report)
	}
	if err != nil || report.Samples != 450 || report.Right != 449 {
		n.t.Errorf("%s: got %s, %v, want 449 of 450 samples right", model, output, err)
	}
}

// awaitIdle waits until no task of a tool is at work, which has to be soon.
func (n *node) awaitIdle(name string, soon time.Duration) {
	n.t.Helper()
	begun := time.Now()
	n.await("it to be dead", func(ctx context.Context) error {
		view, err := n.workload(ctx, name)
		if err == nil && view.OneShot.Busy > 0 {
			err = fmt.Errorf("it is %+v", view.OneShot)
		}
		return err
	})
	if took := time.Since(begun); took > soon {
		n.t.Errorf("it was dead after %v", took)
	}
}

// toolContainers lists those of one tool, or of all.
func (n *node) toolContainers(name string) []string {
	n.t.Helper()
	var ids []string
	for _, id := range strings.Fields(n.ctr("containers", "list", "-q")) {
		if strings.HasPrefix(id, "line-"+name) {
			ids = append(ids, id)
		}
	}
	return ids
}

// What the agent and containerd are killed over is nothing that is left at the end: the
// node is then held against what it was before.
func TestOneShot(t *testing.T) {
	n := newToolNode(t)
	samples := heldOut(t)
	t.Run("Answers", func(t *testing.T) {
		n := n.in(t)
		n.wantReport("report", samples)
		n.wantReport("files", samples)
		view, err := n.workload(t.Context(), "report")
		if err != nil || view.OneShot == nil || view.OneShot.Runs != 1 || view.OneShot.Cold != 0 || view.Ready != 2 {
			t.Errorf("got %+v of %+v, %v, want one task that found a container ready", view.OneShot, view, err)
		}
		n.verb("infer", "report", "--raw", "-f", "../../testdata/digits/heldout.csv", "--deadline", "10s").
			want(t, cli.ExitOK, `{"model":"digits","samples":450,"right":449,`)
		n.verb("workloads").want(t, cli.ExitOK, "STAND READY", "line/report ", " of 2 ")
	})
	t.Run("FailsWithItsWords", func(t *testing.T) {
		n := n.in(t)
		_, err := n.askTool(t.Context(), "fail", nil, patient)
		if !errors.Is(err, edge.ErrModel) || !strings.Contains(err.Error(), "exited with code 1: tool: it fails, as it was asked to") {
			t.Errorf("got %v, want the code and what it said", err)
		}
		_, err = n.askTool(t.Context(), "report", samples[:len(samples)-3], patient)
		if !errors.Is(err, edge.ErrModel) || !strings.Contains(err.Error(), "record on line 451: wrong number of fields") {
			t.Errorf("got %v, want what is wrong with the input", err)
		}
	})
	t.Run("LateIsKilled", func(t *testing.T) {
		n := n.in(t)
		begun := time.Now()
		_, err := n.askTool(t.Context(), "hang", nil, localapi.InferOptions{Deadline: 500 * time.Millisecond})
		if took := time.Since(begun); !errors.Is(err, edge.ErrDeadline) || took > 3*time.Second {
			t.Errorf("got %v after %v, want %v", err, took, edge.ErrDeadline)
		}
		n.awaitIdle("hang", 2*time.Second)
		if list := n.ctr("tasks", "list"); strings.Contains(list, "RUNNING") {
			t.Errorf("something runs still:\n%s", list)
		}
	})
	t.Run("TooShortIsRefused", func(t *testing.T) {
		n := n.in(t)
		_, err := n.askTool(t.Context(), "hang", nil, localapi.InferOptions{Deadline: time.Millisecond})
		if !refusedFor(err, edge.ReasonDeadlineUnreachable) {
			t.Errorf("got %v, want it refused", err)
		}
		if view, err := n.workload(t.Context(), "hang"); err != nil || view.OneShot.Runs != 1 {
			t.Errorf("got %+v, %v, want no container used but that of the task before", view.OneShot, err)
		}
	})
	t.Run("GivenUpIsKilled", func(t *testing.T) {
		n := n.in(t)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := n.askTool(ctx, "hang", nil, patient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that the caller gave up", err)
		}
		n.awaitIdle("hang", 2*time.Second)
	})
	t.Run("PoolFollowsDemand", func(t *testing.T) {
		n := n.in(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { n.wantReport("report", samples) })
		}
		all.Wait()
		n.await("as many to stand ready as may", func(ctx context.Context) error {
			view, err := n.workload(ctx, "report")
			if err == nil && (view.OneShot.Warm != 2 || len(n.toolContainers("report")) != 2) {
				err = fmt.Errorf("it is %+v, with %v", view.OneShot, n.toolContainers("report"))
			}
			return err
		})
	})
	t.Run("AgentIsKilled", func(t *testing.T) { n.in(t).killAgentAtWork(t) })
	t.Run("DaemonIsKilled", func(t *testing.T) { n.in(t).killDaemonAtWork(t) })
	t.Run("KilledAtAnyMoment", func(t *testing.T) { n.in(t).killAtAnyMoment(t) })
}

// killAgentAtWork kills the agent while containers stand ready and one is at work: the next
// one has its own, and nothing of those.
func (n *node) killAgentAtWork(t *testing.T) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := n.askTool(ctx, "hang", nil, patient)
		ended <- err
	}()
	n.await("a tool to be at work", func(context.Context) error {
		if list := n.ctr("tasks", "list"); !strings.Contains(list, "RUNNING") {
			return errors.New(list)
		}
		return nil
	})
	if err := n.KillAgent(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the task was answered by an agent that is no more")
	}
	old := n.toolContainers("")
	if list := n.ctr("tasks", "list"); len(old) < 4 || !strings.Contains(list, "RUNNING") {
		t.Fatalf("nothing was left to clear away: %v\n%s", old, list)
	}
	n.startAgent()
	n.awaitTools()
	for _, id := range n.toolContainers("") {
		if slices.Contains(old, id) {
			t.Errorf("%s is left of the agent that was killed", id)
		}
	}
	if list := n.ctr("tasks", "list"); strings.Contains(list, "RUNNING") {
		t.Errorf("something is at work still, or again:\n%s", list)
	}
	n.wantReport("report", heldOut(t))
}

// killDaemonAtWork kills containerd while tasks come: what was asked meanwhile has an end,
// and what is asked afterwards an answer.
func (n *node) killDaemonAtWork(t *testing.T) {
	n.t.Helper()
	samples := heldOut(t)
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var all sync.WaitGroup
	stopping := make(chan struct{})
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-stopping:
					return
				default:
				}
				if _, err := n.askTool(ctx, "report", samples, localapi.InferOptions{Deadline: 2 * time.Second}); errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a task had no end: %v", err)
					return
				}
			}
		})
	}
	n.killDaemon()
	n.restartDaemon()
	n.awaitTools()
	n.await("an answer", func(ctx context.Context) error {
		_, err := n.askTool(ctx, "files", samples, localapi.InferOptions{Deadline: 5 * time.Second})
		return err
	})
	close(stopping)
	all.Wait()
	n.wantReport("report", samples)
}

// TestOneShot_Folder has a tool answer the files of a folder, as a policy says.
func TestOneShot_Folder(t *testing.T) {
	n := newNode(t)
	archive := n.importTool()
	n.begin()
	n.desk.stock(archive)
	dir := t.TempDir()
	n.apply(n.desk.sign(draft{version: 2, services: []string{toolService("report", "[report]", "{}")}, sections: []string{
		fmt.Sprintf("triggers: [{dir: %q, glob: '*.csv', model: report, class: batch, deadline: 20s}]", dir),
	}})).want(t, cli.ExitOK)
	for name, content := range map[string][]byte{"held-out.csv": heldOut(t), "bad.csv": []byte("no samples")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	verdict := func(path, words string) {
		t.Helper()
		n.await(path, func(context.Context) error {
			text, err := os.ReadFile(filepath.Join(dir, path))
			if err == nil && !strings.Contains(string(text), words) {
				t.Errorf("%s says %s, want %s", path, text, words)
			}
			return err
		})
	}
	verdict("done/held-out.csv.json", `\"right\":449`)
	verdict("failed/bad.csv.json", "exited with code 1: tool: cannot read samples")
}
