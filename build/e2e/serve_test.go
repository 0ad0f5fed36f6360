package e2e_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/build/image/oci"
	"holdfast/edge"
	"holdfast/edge/load"
)

// burnerImage is the burner's, as its workload names it.
const burnerImage = "e2e.example/burner:1"

// importBurner builds the burner, packs it as an image, and puts it into the node's store.
func (n *node) importBurner() {
	n.t.Helper()
	program, archive := filepath.Join(n.t.TempDir(), "burner"), filepath.Join(n.t.TempDir(), "burner.tar")
	build := exec.CommandContext(n.t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-o", program, "holdfast/build/sample/burner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		n.t.Fatalf("build burner: %v\n%s", err, out)
	}
	index, err := oci.Build(oci.Spec{Name: burnerImage, Entry: []string{"/burner"}, User: "65532:65532", Binaries: map[string]string{"linux/amd64": program}})
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := oci.WriteArchive(archive, burnerImage, index); err != nil {
		n.t.Fatal(err)
	}
	n.importImage(archive)
	n.base = n.footprint() // the image stays
}

const burnerService = `
  burner:
    image: e2e.example/burner:1
    command: [-model, burner]
    deploy: {replicas: 3, resources: {limits: {cpus: "2", memory: 64M, pids: 32}}}
    x-holdfast: {model: burner, endpoint: "unix:///run/model/model.sock", cost: 10ms, timeout: 10s}
`

// benchServe runs the generator on the node and returns what it reports.
func (n *node) benchServe(args ...string) []load.Report {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, shop.binary(), append([]string{"--address", n.Socket(), "-o", "json", "bench", "serve"}, args...)...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("bench serve %v: %v: %s", args, err, complaint.String())
	}
	var reports []load.Report
	if err := json.Unmarshal(out, &reports); err != nil {
		n.t.Fatalf("reports: %v: %s", err, out)
	}
	return reports
}

// TestBenchServe has the generator measure a real agent with real containers, and holds
// its books against the agent's.
func TestBenchServe(t *testing.T) {
	n := newNode(t, "scheduler.slots=2")
	n.importBurner()
	n.deploy(burnerService)
	n.await("the burner", func(ctx context.Context) error { return n.Client().ModelReady(ctx, "burner") })
	before := n.counts()
	svg := filepath.Join(t.TempDir(), "plot.svg")
	reports := n.benchServe("--arrivals", "poisson,bursts", "--load", "0.5,2.5", "--length", "2s", "--alone", "50ms", "--svg", svg,
		"--task", "burner=urgent:60ms-120ms:0.5:8ms", "--task", "burner=batch:500ms:0.5:20ms")
	if len(reports) != 4 {
		t.Fatalf("%d reports, want 4", len(reports))
	}
	sent, alone := 0, 0
	total := map[edge.Outcome]int{}
	for _, r := range reports {
		t.Logf("%s %.1f: %d of %d on time, bound %.1f, %.3f of it; %v; %v", r.Arrivals, r.Load, r.OnTime, r.Tasks, r.Bound, r.OfBound, r.Reasons, r.Doubts)
		sent += r.Tasks
		for _, c := range r.Classes {
			if c.Submitted != c.OnTime+c.Late+c.Refused+c.Evicted+c.Failed || c.Failed > 0 {
				t.Errorf("%s %.1f: %+v does not add up, or failed: %s", r.Arrivals, r.Load, c, r.Failure)
			}
			total[edge.Refused] += c.Refused
			total[edge.Evicted] += c.Evicted
		}
		if !r.Exact || float64(r.OnTime) > r.Bound+1e-6 || r.OnTime == 0 {
			t.Errorf("%s %.1f: %d on time, and the bound is %v", r.Arrivals, r.Load, r.OnTime, r.Bound)
		}
		if m := r.Machine; m == nil || m.Models <= 0 || m.Busy < m.Models/2 || m.Span < time.Second {
			t.Errorf("%s %.1f: machine %+v", r.Arrivals, r.Load, r.Machine)
		}
	}
	for _, k := range reports[0].Kinds {
		alone += k.Alone.Of
		// A burner takes what it was asked to, alone; the machine of the tests is busy with others.
		if least := k.Work * 7 / 10; k.Alone.P50 < least {
			t.Errorf("%s took %v alone, less than %v", k.Kind, k.Alone.P50, least)
		}
	}
	after := n.counts()
	if got := int(after.submitted - before.submitted); got != sent+alone {
		t.Errorf("the agent was asked for %d tasks, the generator says %d and %d alone", got, sent, alone)
	}
	for outcome, want := range total {
		if got := int(after.settled[outcome.String()] - before.settled[outcome.String()]); got != want {
			t.Errorf("the agent has %d %v, the generator %d", got, outcome, want)
		}
	}
	if reports[1].OnTime >= reports[1].Tasks || reports[1].Bound >= float64(reports[1].Tasks) {
		t.Errorf("load 2.5 was no overload: %+v", reports[1])
	}
	if drawn, err := os.ReadFile(svg); err != nil || !strings.HasPrefix(string(drawn), "<svg") {
		t.Errorf("plot: %v, %.60s", err, drawn)
	}
}

// counts are the agent's books.
type counts struct {
	submitted uint64
	settled   map[string]uint64
}

func (n *node) counts() counts {
	n.t.Helper()
	status, err := n.Client().Status(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	c := counts{settled: status.Scheduler.Settled}
	for _, class := range status.Scheduler.Classes {
		c.submitted += class.Submitted
	}
	return c
}
