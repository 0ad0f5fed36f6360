package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
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

	"golang.org/x/sys/unix"

	"holdfast/build/await"
	"holdfast/build/mosquitto"
	"holdfast/build/stand"
	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/mqtt"
)

// fleet is the operator's side: keys, a real mosquitto, and a folder for what was said.
type fleet struct {
	t      testing.TB
	desk   *desk
	broker *mosquitto.Broker
	keep   string
}

const siteName = "hall-2"

// newFleet starts a broker and makes a desk.
func newFleet(t testing.TB) *fleet {
	t.Helper()
	dir := shop.path(fmt.Sprintf("fleet-%d", shop.nodes.Add(1)))
	broker, err := mosquitto.Start(t.Context(), filepath.Join(dir, "broker"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Kill() })
	return &fleet{t: t, desk: newDesk(t, dir), broker: broker, keep: filepath.Join(dir, "keep")}
}

// in is the fleet for a part of the test.
func (f *fleet) in(t testing.TB) *fleet {
	part, desk := *f, *f.desk
	part.t, desk.t = t, t
	part.desk = &desk
	return &part
}

// verb runs a verb of the fleet.
func (f *fleet) verb(words ...string) said {
	f.t.Helper()
	return run(f.t, append(append([]string{"fleet"}, words...), f.flags()...)...)
}

func (f *fleet) flags() []string {
	return []string{"--broker", "tcp://" + f.broker.Address(), "--site", siteName, "--keep", f.keep}
}

// command signs and sends a command with the first key.
func (f *fleet) command(node string, words ...string) said {
	f.t.Helper()
	return f.verb(append([]string{"command", node, "--key", f.desk.key("command-1")}, words...)...)
}

// attend has somebody stand by until the test ends, or what is returned is called.
func (f *fleet) attend() (leave func()) {
	f.t.Helper()
	words := append([]string{"fleet", "attend", "--freshness", f.desk.key("freshness-1")}, f.flags()...)
	var said bytes.Buffer
	attendant := exec.Command(shop.binary(), words...)
	attendant.Stdout, attendant.Stderr = &said, &said
	attendant.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := attendant.Start(); err != nil {
		f.t.Fatal(err)
	}
	left := false
	leave = func() {
		if left {
			return
		}
		left = true
		_ = attendant.Process.Kill()
		_ = attendant.Wait()
		if f.t.Failed() {
			f.t.Logf("the attendant said:\n%s", said.String())
		}
	}
	f.t.Cleanup(leave)
	return leave
}

// join places a node of the fleet that runs the services, behind a wire of its own. Its
// agent runs, and is not yet asked anything.
func (f *fleet) join(name string, services ...string) (*node, *stand.Wire) {
	f.t.Helper()
	wire, err := stand.StretchWire(f.broker.Address())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = wire.Close() })
	n := newNode(f.t, "policy.trial=1s")
	n.stopAgent()
	own := *f.desk
	n.desk = &own
	factory := f.desk.sign(draft{version: 1, services: services})
	n.configure("", fmt.Sprintf("node: {name: %s, groups: [first], site: %s, role: inspection}", name, siteName),
		fmt.Sprintf("policy: {root: %q, factory: %q}", f.desk.root(), factory),
		fmt.Sprintf("link: {broker: %q, tasks: 1000}", "tcp://"+wire.Address()))
	n.startAgent()
	return n, wire
}

// link is how the node stands with its fleet.
func (n *node) link(ctx context.Context) (edge.LinkReport, error) {
	status, err := n.Client().Status(ctx)
	if err != nil || status.Link == nil {
		return edge.LinkReport{}, fmt.Errorf("no report of the link: %w", err)
	}
	return *status.Link, nil
}

// awaitTold waits until the fleet has confirmed everything.
func (n *node) awaitTold() {
	n.t.Helper()
	n.await("the fleet to confirm everything", func(ctx context.Context) error {
		link, err := n.link(ctx)
		if err == nil && (link.Phase != "up" || !link.Confirms || link.Waiting() > 0) {
			err = fmt.Errorf("the link is %+v", link)
		}
		return err
	})
}

// awaitPhase waits until the link is up, or is not.
func (n *node) awaitPhase(up bool) {
	n.t.Helper()
	n.await(fmt.Sprintf("the link to be up: %v", up), func(ctx context.Context) error {
		link, err := n.link(ctx)
		if err == nil && (link.Phase == "up") != up {
			err = fmt.Errorf("it is %s: %s", link.Phase, link.Detail)
		}
		return err
	})
}

// history is what the fleet has kept of a node, by stream.
func (f *fleet) history(node string) map[string][]mqtt.Envelope {
	f.t.Helper()
	files, err := filepath.Glob(filepath.Join(f.keep, siteName, "history", node, "*.jsonl"))
	if err != nil {
		f.t.Fatal(err)
	}
	streams := map[string][]mqtt.Envelope{}
	for _, path := range files {
		streams[strings.TrimSuffix(filepath.Base(path), ".jsonl")] = f.readHistory(path)
	}
	return streams
}

func (f *fleet) readHistory(path string) (kept []mqtt.Envelope) {
	f.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // the attendant may be writing the next line
	for line := range bytes.Lines(text) {
		var e mqtt.Envelope
		if err := json.Unmarshal(line, &e); err != nil {
			f.t.Fatalf("%s: %v", path, err)
		}
		kept = append(kept, e)
	}
	return kept
}

// wantOrder wants every stream in order, each number once.
func (f *fleet) wantOrder(node string) {
	f.t.Helper()
	for epoch, kept := range f.history(node) {
		if len(kept) == 0 {
			f.t.Errorf("nothing is kept of %s of %s", epoch, node)
		}
		for i := 1; i < len(kept); i++ {
			if kept[i].Seq <= kept[i-1].Seq {
				f.t.Errorf("%s of %s: %d follows %d", epoch, node, kept[i].Seq, kept[i-1].Seq)
			}
		}
	}
}

// tasksTold are the ids of the tasks that the fleet was told of, in its order.
func (f *fleet) tasksTold(node string) (ids []string) {
	f.t.Helper()
	for _, kept := range f.history(node) {
		for _, e := range kept {
			var body struct{ ID string }
			if e.Type == "task" && json.Unmarshal(e.Body, &body) == nil {
				ids = append(ids, body.ID)
			}
		}
	}
	return ids
}

// finalReplies are those kept, by command.
func (f *fleet) finalReplies(node string) map[string][]edge.Reply {
	f.t.Helper()
	replies := map[string][]edge.Reply{}
	for _, kept := range f.history(node) {
		for _, e := range kept {
			var reply edge.Reply
			if e.Type == "reply" && json.Unmarshal(e.Body, &reply) == nil && reply.Stage.Final() && e.Class == mqtt.Committed {
				replies[reply.Command] = append(replies[reply.Command], reply)
			}
		}
	}
	return replies
}

// TestFleet_Journey is what an operator does with two nodes: a policy for both, one
// command twice, one node cut off and killed meanwhile, and everything told after.
func TestFleet_Journey(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, _ := f.join("gw-a", digitsService(1))
	a.awaitPhase(true)
	f.attend() // later than one node, and before the other
	b, wire := f.join("gw-b", digitsService(1))
	a.awaitTold()
	b.awaitTold()
	f.verb("nodes").want(t, cli.ExitOK, "gw-a", "gw-b", "online", "v1 factory")

	second := f.desk.sign(draft{version: 2, services: []string{digitsWith(1, 72)}})
	f.verb("apply", second, "--root", f.desk.root()).want(t, cli.ExitOK, "gw-a  applied", "gw-b  applied", "2 applied")
	a.wantPolicy(2, "current")
	b.wantPolicy(2, "current")

	t.Run("OneEffectForTwoCommands", func(t *testing.T) {
		f, a := f.in(t), a.in(t)
		before := a.awaitReady("digits", 1)
		f.command("gw-a", "restart", "line/digits", "--id", "restart-1").want(t, cli.ExitOK, "gw-a  succeeded")
		once := a.awaitOther("digits", before)
		f.command("gw-a", "restart", "line/digits", "--id", "restart-1").want(t, cli.ExitOK, "gw-a  succeeded")
		a.wantSame(once)
		if got := a.taken("restart-1"); got != 1 {
			t.Errorf("carried out %d times, want once", got)
		}
	})

	t.Run("CutOffAndKilled", func(t *testing.T) {
		f, b := f.in(t), b.in(t)
		wire.Cut()
		b.awaitPhase(false)
		third := f.desk.sign(draft{version: 3, services: []string{digitsWith(1, 80)}})
		f.verb("apply", third, "--root", f.desk.root(), "--node", "gw-a").want(t, cli.ExitOK, "gw-a  applied")
		f.verb("apply", third, "--root", f.desk.root(), "--wait", "0s").want(t, cli.ExitOK, "gw-b  offline")
		f.verb("nodes").want(t, cli.ExitOK, "offline")
		asked := b.askNamed(20)
		b.awaitKept(asked)
		if err := b.KillAgent(); err != nil {
			t.Fatal(err)
		}
		b.startAgent()
		b.awaitReady("digits", 1)
		asked = append(asked, b.askNamed(20)...)
		wire.Mend()
		b.awaitPolicy(3)
		b.await("all tasks to be told", func(context.Context) error { // which they are once a second
			if told := f.tasksTold("gw-b"); len(told) < len(asked) {
				return fmt.Errorf("%d of %d are", len(told), len(asked))
			}
			return nil
		})
		b.awaitTold()
		told := f.tasksTold("gw-b")
		if !slices.Equal(told, asked) {
			t.Errorf("the fleet was told of %v, want each once and in order: %v", told, asked)
		}
		f.wantOrder("gw-b")
		b.wantPolicy(3, "current")
	})
	t.Run("ReadByPeople", func(t *testing.T) {
		_, port, _ := strings.Cut(f.broker.Address(), ":")
		// The retained state follows the changes that were told within seconds; once it has, the next
		// time may be a minute later.
		await.Until(t, within+time.Minute, 200*time.Millisecond, "the retained state to tell policy version 3", func(context.Context) error {
			out, err := exec.Command("mosquitto_sub", "-p", port, "-t", "hf/v1/"+siteName+"/gw-a/up/state", "-C", "1", "-W", "10").CombinedOutput()
			if err != nil {
				t.Fatalf("mosquitto_sub: %v: %s", err, out)
			}
			for _, words := range []string{`"line/digits":{`, `"ready":true`} {
				if !strings.Contains(string(out), words) {
					t.Errorf("the state reads\n%swant %s in it", out, words)
				}
			}
			var report edge.StateReport
			var state edge.Reported
			if err := errors.Join(json.Unmarshal(out, &report), json.Unmarshal(report.State, &state)); err != nil || state.Policy.Version != 3 {
				return fmt.Errorf("it tells version %d: %w", state.Policy.Version, err)
			}
			return nil
		})
	})
}

// awaitOther waits until other instances of the workload are ready than before.
func (n *node) awaitOther(name string, before []edge.InstanceView) (now []edge.InstanceView) {
	n.t.Helper()
	n.await("other instances of "+name, func(ctx context.Context) error {
		view, err := n.workload(ctx, name)
		now = view.Instances
		if err != nil || view.Ready != len(before) || len(now) != len(before) || now[0].ID == before[0].ID {
			return fmt.Errorf("it has %+v: %w", now, err)
		}
		return nil
	})
	return now
}

// awaitPolicy waits until a version is in force.
func (n *node) awaitPolicy(version uint64) {
	n.t.Helper()
	n.await(fmt.Sprintf("policy version %d", version), func(context.Context) error {
		if in := n.policy(); in.Version != version {
			return fmt.Errorf("version %d is in force", in.Version)
		}
		return nil
	})
}

// taken counts how often the agent, in all its lives, began to carry a command out.
func (n *node) taken(id string) int {
	n.t.Helper()
	text, err := os.ReadFile(n.AgentLog())
	if err != nil {
		n.t.Fatal(err)
	}
	return strings.Count(string(text), "kind=command-taken subject="+id+" ")
}

// askNamed asks the model so often and returns the ids of the tasks.
func (n *node) askNamed(times int) (ids []string) {
	n.t.Helper()
	for range times {
		ids = append(ids, n.ask(patient).Task)
	}
	return ids
}

// awaitKept waits until the last of the tasks is on flash, so that a power cut does not
// take it: what is told from memory first is kept only 5 s later.
func (n *node) awaitKept(ids []string) {
	n.t.Helper()
	last := []byte(ids[len(ids)-1])
	n.await("the tasks to be on flash", func(context.Context) error {
		segments, err := filepath.Glob(filepath.Join(n.StateFolder(), "spool", "*.segment"))
		if err != nil {
			return err
		}
		for _, path := range segments {
			text, err := os.ReadFile(path)
			if err == nil && bytes.Contains(text, last) {
				return nil
			}
		}
		return fmt.Errorf("task %s is in none of %d segments", last, len(segments))
	})
}

// TestFleet_FilesHeld: somebody else has the link's files, a backup say. The node serves
// all the same, says so, and goes on when it gets them.
func TestFleet_FilesHeld(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n, _ := f.join("gw-a", digitsService(1))
	n.awaitPhase(true)
	n.stopAgent()
	held, err := os.Open(filepath.Join(n.StateFolder(), "link.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	n.startAgent()
	n.awaitReady("digits", 1)
	n.ask(patient)
	n.awaitWarning("link-files-held", "link.db")
	n.awaitPhase(false)
	if err := unix.Flock(int(held.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	n.awaitPhase(true)
	n.awaitNoWarnings()
}
