package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/edge/host"
)

// roomForAll is what all instances of these tests may have together, in MiB.
const roomForAll = 192

// leaving is the setting by which the node keeps all memory but so many MiB.
func leaving(t *testing.T, mib int) string {
	t.Helper()
	facts, err := host.ReadFacts("")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("reserve.memory=%dKiB", facts.Memory>>10-uint64(mib)<<10)
}

// steady is the sample model, all of whose memory is set aside for it.
func steady() string {
	return fmt.Sprintf(`  digits:
    image: %s
    deploy: {resources: {limits: {cpus: "1", memory: 64M, pids: 32}, reservations: {cpus: "0.5", memory: 64M}}}
    x-holdfast: {model: digits, variants: [digits-lite], endpoint: "unix:///run/model/model.sock", cost: 5ms}
`, digitsImage)
}

// hogs take all memory and CPU there is: their limits allow them more than all instances
// may have together.
func hogs() string {
	return fmt.Sprintf(`  hoarder:
    image: %s
    command: ["-hoard"]
    restart: always
    scale: 2
    cpus: 2
    mem_limit: 256M
  spinner:
    image: %[1]s
    command: ["-spin", "4"]
    restart: always
    scale: 4
    cpus: 2
    mem_limit: 32M
`, faultyImage)
}

// answersWithin is how long the agent takes to tell how it is, some times, at most one
// every 20 ms.
func (n *node) answersWithin(t testing.TB, times int) (took []time.Duration) {
	t.Helper()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for range times {
		begun := time.Now()
		if _, err := n.Client().Status(context.Background()); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begun))
		<-pause.C
	}
	slices.Sort(took)
	return took
}

// usual is what the agent takes at most for nine of ten answers, however busy instances
// are.
const usual = 50 * time.Millisecond

// TestResources_Filled fills memory and CPU of a node with instances. The agent answers as
// it does, what has its memory set aside is not touched, and who was ended and why is told.
func TestResources_Filled(t *testing.T) {
	n := newNode(t, leaving(t, roomForAll))
	n.deploy(steady())
	before := n.awaitReady("digits", 1)
	alone := n.answersWithin(t, 100)
	since := n.latest()
	n.deploy(steady(), hogs())
	over := n.awaitWarning("memory-overclaimed", "line/hoarder 512.0 MiB")
	if !strings.Contains(over.Detail, "192.0 MiB for them") || !strings.Contains(over.Remedy, "reservations") {
		t.Errorf("the warning says %q, %q", over.Detail, over.Remedy)
	}
	n.awaitEvent(since, edge.EventWarningRaised, "memory-overclaimed")
	ended := n.awaitEvent(since, edge.EventInstanceExited, "all instances together")
	if !strings.Contains(ended.Subject, "hoarder") {
		t.Errorf("%s was ended, want one that has set nothing aside: %+v", ended.Subject, ended)
	}
	filled := n.answersWithin(t, 100)
	t.Logf("answered alone in %v, %v, with memory and CPU filled in %v, %v (p50, p90)", alone[50], alone[90], filled[50], filled[90])
	if filled[90] > usual {
		t.Errorf("the agent took %v for nine of ten answers, want %v", filled[90], usual)
	}
	t.Run("Control", func(t *testing.T) { n.in(t).wantSlowAmong() })
	if err := sameInstances(before, n.awaitReady("digits", 1)); err != nil {
		t.Error(err)
	}
	for _, e := range n.events(since) {
		if e.Kind == edge.EventInstanceMemory && !strings.Contains(e.Subject, "hoarder") {
			t.Errorf("%s is said to have been out of memory", e.Subject)
		}
	}
	score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", n.AgentPID()))
	log, _ := os.ReadFile(n.AgentLog()) // without one nothing is told
	if told := strings.Contains(string(log), "oom-score-not-lowered"); err != nil || strings.TrimSpace(string(score)) != "-900" && !told {
		t.Errorf("the agent's score is %q, %v, want -900, or to be told that it may not have it", score, err)
	}
	n.deploy(steady())
	n.await("the hogs to be gone", func(ctx context.Context) error {
		views, err := n.Client().Workloads(ctx)
		if err == nil && len(views) > 1 {
			err = fmt.Errorf("there are %d workloads", len(views))
		}
		return err
	})
	n.awaitNoWarnings()
}

// wantSlowAmong puts the agent among the instances, with a hundredth of their weight: what
// keeps its answers quick is that it stands elsewhere.
func (n *node) wantSlowAmong() {
	n.t.Helper()
	home, parent := n.ofCPU()
	among := filepath.Join(parent, "among")
	if err := os.Mkdir(among, 0o755); err != nil {
		n.t.Fatal(err)
	}
	defer func() {
		n.move(home)
		// What the agent started meanwhile, and the kernel's own tidying, may be in it for a moment.
		n.await("its cgroup to be empty", func(context.Context) error { return os.Remove(among) })
	}()
	weight, light := filepath.Join(among, "cpu.shares"), "8"
	if _, err := os.Stat(weight); err != nil {
		weight, light = filepath.Join(among, "cpu.weight"), "1"
	}
	if err := os.WriteFile(weight, []byte(light), 0); err != nil {
		n.t.Fatal(err)
	}
	n.move(among)
	late := 0
	for tries := 0; tries < 10 && late < 2; tries++ { // with two of ten it is no longer nine
		took := n.answersWithin(n.t, 1)[0]
		if n.t.Logf("among the instances, with little weight, in %v", took); took > usual {
			late++
		}
	}
	if late < 2 {
		n.t.Errorf("%d of ten answers were late with little weight: the load fills nothing", late)
	}
}

// ofCPU finds the root of the hierarchy that shares the CPU out, and the cgroup of all
// instances in it.
func (n *node) ofCPU() (root, parent string) {
	n.t.Helper()
	for _, top := range []string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"} {
		for _, name := range []string{"cpu.shares", "cpu.weight"} {
			if _, err := os.Stat(filepath.Join(top, n.Cgroup(), name)); err == nil {
				return top, filepath.Join(top, n.Cgroup())
			}
		}
	}
	n.t.Fatalf("there is no cgroup of CPU at %s", n.Cgroup())
	return "", ""
}

// move puts the agent into a cgroup.
func (n *node) move(folder string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(n.AgentPID())), 0); err != nil {
		n.t.Error(err)
	}
}

// tenanted is steady as a workload of tenant vision, of so much memory.
func tenanted(memory string) string {
	return strings.NewReplacer("64M", memory, "{model:", "{tenant: vision, model:").Replace(steady())
}

// TestResources_Tenant holds a tenant to what the policy gives it: its workloads when the
// policy is brought, its instances by a cgroup, and what all set aside to what the node has.
func TestResources_Tenant(t *testing.T) {
	n := newNode(t, leaving(t, roomForAll))
	n.begin()
	total := func(memory string) string {
		return "tenants: {vision: {memory: " + memory + ", instances: 1}, _default: {}}"
	}
	n.apply(n.desk.sign(draft{version: 2, sections: []string{total("96Mi")}, services: []string{tenanted("64M")}})).want(t, cli.ExitOK)
	before := n.awaitReady("digits", 1)
	bound := func() string {
		for _, name := range []string{"/sys/fs/cgroup/memory" + n.Cgroup() + "/@vision/memory.limit_in_bytes", "/sys/fs/cgroup" + n.Cgroup() + "/@vision/memory.max"} {
			if text, err := os.ReadFile(name); err == nil {
				return strings.TrimSpace(string(text))
			}
		}
		return "none"
	}
	if got, want := bound(), strconv.Itoa(96<<20); got != want {
		t.Errorf("the tenant's cgroup has a bound of %s, want %s", got, want)
	}
	n.apply(n.desk.sign(draft{version: 3, sections: []string{total("80Mi")}, services: []string{tenanted("64M")}})).want(t, cli.ExitOK)
	look(t, "the lower bound", func(context.Context) error {
		if got, want := bound(), strconv.Itoa(80<<20); got != want {
			return fmt.Errorf("it is %s, want %s", got, want)
		}
		return nil
	})
	n.apply(n.desk.sign(draft{version: 4, sections: []string{total("1Gi")}, services: []string{tenanted("256M")}})).want(t, cli.ExitUsage,
		"workloads set 256.0 MiB of memory aside together, and the node has 192.0 MiB for them", "line/digits 256.0 MiB", "reserve.memory")
	n.wantPolicy(3, "current")
	n.wantSame(before)
}
