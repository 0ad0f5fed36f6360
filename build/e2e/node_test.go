package e2e_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/build/await"
	"holdfast/build/stand"
	"holdfast/edge"
	"holdfast/edge/cli"
)

// within bounds whatever is waited for. Most of it takes a fraction of a second;
// the rest is for a machine that is busy with something else.
const within = 30 * time.Second

// node is the node of one test.
type node struct {
	*stand.Stand
	t         testing.TB
	namespace string
	base      footprint // without workloads
	desk      *desk     // of the fleet that governs the node; nil: none does
}

// newNode starts an agent without workloads, with both images in its store.
func newNode(t testing.TB, set ...string) *node {
	t.Helper()
	n := placeNode(t, set...)
	n.furnish()
	return n
}

// furnish starts the agent of a node that was placed, as newNode does.
func (n *node) furnish() {
	n.t.Helper()
	n.startAgent()
	n.importImage(shop.digits())
	n.importImage(shop.faulty())
	n.base = n.footprint()
	n.t.Cleanup(n.leave)
}

// in is the node for a part of the test.
func (n *node) in(t testing.TB) *node {
	part := *n
	part.t = t
	return &part
}

// placeNode makes a node whose agent does not run yet.
func placeNode(t testing.TB, set ...string) *node {
	t.Helper()
	number := shop.nodes.Add(1)
	n := &node{t: t, namespace: fmt.Sprintf("e2e-%d", number)}
	dir := shop.path(fmt.Sprintf("node-%d", number))
	other, err := shop.stand.Beside(stand.Options{
		Dir: dir, Binary: shop.binary(), Config: filepath.Join(dir, "config.yaml"), Listen: "127.0.0.1:0",
		Set: append([]string{"containerd.namespace=" + n.namespace}, set...),
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Stand = other
	shop.remember(n.RunFolder(""))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the agent's log:\n%s", tail(n.AgentLog()))
		}
		if err := n.Close(); err != nil {
			t.Errorf("close node: %v", err)
		}
	})
	n.configure("")
	return n
}

// leave takes the workloads away as an operator would and wants everything as it
// was before them.
func (n *node) leave() {
	n.t.Helper()
	if n.t.Failed() {
		n.abandon()
		return
	}
	if !n.answers() {
		n.startAgent()
	}
	n.empty()
	n.await("nothing to be left of the workloads", func(context.Context) error {
		return n.base.same(n.ungoverned(n.footprint()))
	})
	n.stopAgent()
}

// empty takes the workloads away, by whatever says what runs here.
func (n *node) empty() {
	n.t.Helper()
	if n.desk == nil {
		n.deploy()
		return
	}
	n.apply(n.desk.sign(draft{version: lastVersion})).want(n.t, cli.ExitOK)
}

// abandon drops what a failed test may have left, so that the next one does not
// stumble over it.
func (n *node) abandon() {
	_ = n.KillAgent()
	for _, id := range strings.Fields(n.ctr("tasks", "list", "-q")) {
		n.ctr("tasks", "delete", "-f", id)
	}
	for _, id := range strings.Fields(n.ctr("containers", "list", "-q")) {
		n.ctr("containers", "delete", id)
	}
}

func (n *node) answers() bool {
	_, err := n.Client().Status(context.Background())
	return err == nil
}

func (n *node) startAgent() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := n.StartAgent(ctx); err != nil {
		n.t.Fatal(err)
	}
}

// stopAgent ends the agent by SIGTERM, which must leave with code 0.
func (n *node) stopAgent() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := n.StopAgent(ctx); err != nil {
		n.t.Fatalf("stop agent: %v", err)
	}
}

func (n *node) importImage(path string) {
	n.t.Helper()
	if err := n.Import(n.t.Context(), path); err != nil {
		n.t.Fatalf("import %s: %v", path, err)
	}
}

// configure writes the configuration file: the workloads and further lines.
func (n *node) configure(compose string, lines ...string) {
	n.t.Helper()
	text := fmt.Sprintf("workloads: {compose: %q}\n", compose)
	n.write("config.yaml", text+strings.Join(lines, "\n"))
}

func (n *node) write(name, text string) string {
	n.t.Helper()
	path := filepath.Join(n.Folder(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return path
}

// deploy makes the services the node's workloads and returns once the agent knows.
func (n *node) deploy(services ...string) {
	n.t.Helper()
	n.declare(services...)
	n.reload()
}

// declare writes the services down for the agent to read.
func (n *node) declare(services ...string) {
	n.t.Helper()
	text := "{}\n" // nothing is to run
	if len(services) > 0 {
		text = "\n" + strings.Join(services, "")
	}
	n.configure(n.write("line.yaml", "name: line\nservices: "+text))
}

// reload sends SIGHUP and returns once it has been acted upon.
func (n *node) reload() {
	n.t.Helper()
	since := n.latest()
	if err := syscall.Kill(n.AgentPID(), syscall.SIGHUP); err != nil {
		n.t.Fatal(err)
	}
	n.awaitEvent(since, edge.EventAgentReloaded, "")
}

// await asks until there is no error any more.
func (n *node) await(what string, ask func(context.Context) error) {
	n.t.Helper()
	look(n.t, what, ask)
}

// look asks until there is no error any more.
func look(t testing.TB, what string, ask func(context.Context) error) {
	t.Helper()
	await.Until(t, within, 2*time.Millisecond, what, ask)
}

// events are those after since; 0: all of the agent that runs, which begin with its start.
func (n *node) events(since uint64) []edge.Event {
	n.t.Helper()
	events := n.allEvents(since)
	if since > 0 {
		return events
	}
	for i, e := range slices.Backward(events) {
		if e.Kind == edge.EventAgentStarted {
			return events[i:]
		}
	}
	return events
}

// allEvents are those after since, also of agents that are no more.
func (n *node) allEvents(since uint64) []edge.Event {
	n.t.Helper()
	var events []edge.Event
	err := n.Client().Events(context.Background(), since, false, func(e edge.Event) error {
		events = append(events, e)
		return nil
	})
	if err != nil {
		n.t.Fatalf("events: %v", err)
	}
	return events
}

// latest is the number of the last event.
func (n *node) latest() uint64 {
	n.t.Helper()
	events := n.events(0)
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Seq
}

// errFound ends a search.
var errFound = errors.New("found")

// awaitEvent follows the events after since until one is of the kind and has the
// words in its subject, cause or facts.
func (n *node) awaitEvent(since uint64, kind edge.EventKind, words string) edge.Event {
	n.t.Helper()
	if since == 0 {
		since = max(n.events(0)[0].Seq, 1) - 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	var found edge.Event
	var seen []string
	err := n.Client().Events(ctx, since, true, func(e edge.Event) error {
		text := fmt.Sprint(e.Kind, " ", e.Subject, " ", e.Cause, " ", e.Facts)
		seen = append(seen, text)
		if e.Kind != kind || !strings.Contains(text, words) {
			return nil
		}
		found = e
		return errFound
	})
	if !errors.Is(err, errFound) {
		n.t.Fatalf("waited for event %s with %q: %v; seen:\n%s", kind, words, err, strings.Join(seen, "\n"))
	}
	return found
}

// awaitWarning returns once a warning with the code has the words in its detail.
func (n *node) awaitWarning(code, words string) edge.Warning {
	n.t.Helper()
	var found edge.Warning
	n.await("warning "+code, func(ctx context.Context) error {
		status, err := n.Client().Status(ctx)
		for _, w := range status.Warnings {
			if w.Code == code && strings.Contains(w.Detail, words) {
				found = w
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("warnings are %+v", status.Warnings))
	})
	return found
}

// awaitNoWarnings returns once the node has nothing to complain of.
func (n *node) awaitNoWarnings() {
	n.t.Helper()
	n.await("no warnings", func(ctx context.Context) error {
		status, err := n.Client().Status(ctx)
		if err == nil && len(status.Warnings) > 0 {
			err = fmt.Errorf("warnings are %+v", status.Warnings)
		}
		return err
	})
}

// awaitReady returns the instances of a workload once as many are ready as are
// wanted and no other is left.
func (n *node) awaitReady(name string, replicas int) []edge.InstanceView {
	n.t.Helper()
	var instances []edge.InstanceView
	n.await(fmt.Sprintf("%d ready instance(s) of %s", replicas, name), func(ctx context.Context) error {
		view, err := n.workload(ctx, name)
		if err != nil {
			return err
		}
		instances = view.Instances
		if view.Ready != replicas || len(instances) != replicas {
			return fmt.Errorf("it has %+v", instances)
		}
		return nil
	})
	return instances
}

// workload is the view of one workload.
func (n *node) workload(ctx context.Context, name string) (edge.WorkloadView, error) {
	views, err := n.Client().Workloads(ctx)
	if err != nil {
		return edge.WorkloadView{}, err
	}
	i := slices.IndexFunc(views, func(v edge.WorkloadView) bool { return v.Workload.Name == name })
	if i < 0 {
		return edge.WorkloadView{}, fmt.Errorf("workload %q: %w", name, edge.ErrNotFound)
	}
	return views[i], nil
}

// ctr calls containerd's own tool, for a second opinion.
func (n *node) ctr(arguments ...string) string {
	n.t.Helper()
	arguments = append([]string{"-a", n.Daemon.Socket(), "-n", n.namespace}, arguments...)
	cmd := exec.Command(n.Daemon.Tool("ctr"), arguments...)
	var stderr strings.Builder // the daemon's warnings come here too
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		n.t.Errorf("ctr %s: %v: %s", strings.Join(arguments, " "), err, &stderr)
	}
	return string(out)
}

// tail is the end of a file.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const lines = 60
	all := strings.Split(string(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// digitsService is the sample model, well behaved.
func digitsService(replicas int) string {
	return fmt.Sprintf(`  digits:
    image: %s
    deploy: {replicas: %d, resources: {limits: {cpus: "1", memory: 64M, pids: 32}}}
    x-holdfast: {model: digits, variants: [digits-lite], endpoint: "unix:///run/model/model.sock", cost: 5ms}
`, digitsImage, replicas)
}

// faulty is a model that misbehaves; its zero value does not.
type faulty struct {
	faults      string // flags of build/sample/faulty
	cpus        string
	memory      string
	timeout     string
	readyWithin string
}

// service is the model as a workload of its own name.
func (f faulty) service() string {
	return fmt.Sprintf(`  faulty:
    image: %s
    command: [%s]
    stop_grace_period: 1s
    deploy: {resources: {limits: {cpus: "%s", memory: %s, pids: 64}}}
    x-holdfast: {model: faulty, endpoint: "unix:///run/model/model.sock", cost: 10ms, timeout: %s, readyWithin: %s}
`, faultyImage, `"`+strings.Join(strings.Fields(f.faults), `", "`)+`"`,
		cmp.Or(f.cpus, "0.5"), cmp.Or(f.memory, "48M"), cmp.Or(f.timeout, "1s"), cmp.Or(f.readyWithin, "2s"))
}
