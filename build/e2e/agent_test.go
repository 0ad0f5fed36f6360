package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// patient is what a caller asks who would rather wait than hear no.
var patient = localapi.InferOptions{Deadline: 10 * time.Second}

// sameInstances is nil if after holds the very processes of before.
func sameInstances(before, after []edge.InstanceView) error {
	key := func(instances []edge.InstanceView) []string {
		var keys []string
		for _, i := range instances {
			keys = append(keys, fmt.Sprintf("%s (process %d, restarts %d)", i.ID, i.PID, i.Restarts))
		}
		slices.Sort(keys)
		return keys
	}
	if !slices.Equal(key(before), key(after)) {
		return fmt.Errorf("instances were %v, now are %v", key(before), key(after))
	}
	return nil
}

// wantAdopted wants the new agent to have taken over exactly what ran.
func (n *node) wantAdopted(before []edge.InstanceView) {
	n.t.Helper()
	if err := sameInstances(before, n.awaitReady("digits", len(before))); err != nil {
		n.t.Error(err)
	}
	for _, i := range before {
		n.awaitEvent(0, edge.EventInstanceAdopted, i.ID)
	}
	for _, e := range n.events(0) {
		if e.Kind == edge.EventInstanceStarted || e.Kind == edge.EventInstanceExited || e.Kind == edge.EventInstanceStopped {
			n.t.Errorf("the new agent has the event %s of %s (%s)", e.Kind, e.Subject, e.Cause)
		}
	}
	var ids []string
	for _, i := range before {
		ids = append(ids, i.ID)
	}
	slices.Sort(ids)
	if got := n.tasks("line-digits-"); !slices.Equal(got, ids) {
		n.t.Errorf("containerd runs %v, want %v", got, ids)
	}
}

// tasks lists what containerd runs under names that begin so.
func (n *node) tasks(prefix string) []string {
	n.t.Helper()
	names := strings.Fields(n.ctr("tasks", "list", "-q"))
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, prefix) })
	slices.Sort(names)
	return names
}

func TestAgent_Kill(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(2))
	before := n.awaitReady("digits", 2)
	t.Run("InTheMiddleOfAStream", func(t *testing.T) {
		n := n.in(t)
		s := n.startStream(4, isAway, patient)
		for range 3 {
			s.more(100)
			first := n.killAgent(s)
			t.Logf("kill to next answer: %v", first.Round(time.Millisecond))
			s.more(100)
			n.wantAdopted(before)
		}
		s.stop()
		if s.retried == 0 {
			t.Error("no client noticed that the agent was away")
		}
	})
	t.Run("WhileAnInstanceDies", func(t *testing.T) {
		// The negative control: what wantAdopted looks for is found.
		n := n.in(t)
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		kill(t, before[0].PID)
		n.startAgent()
		after := n.awaitReady("digits", 2)
		if err := sameInstances(before, after); err == nil {
			t.Error("an instance that died is taken for the one before")
		}
		n.awaitEvent(0, edge.EventInstanceAdopted, before[1].ID)
		n.awaitEvent(0, edge.EventInstanceExited, before[0].ID)
		n.awaitEvent(0, edge.EventInstanceStarted, "")
	})
}

// killAgent kills the agent, starts it anew and returns how long after the kill
// the next answer came.
func (n *node) killAgent(s *stream) time.Duration {
	n.t.Helper()
	if err := n.KillAgent(); err != nil {
		n.t.Fatal(err)
	}
	killed := time.Now()
	before := s.count()
	n.startAgent()
	n.await("an answer", func(context.Context) error {
		if s.count() == before {
			return errors.New("none yet")
		}
		return nil
	})
	return time.Since(killed)
}

// kill ends a process at once, as a crash would.
func kill(t testing.TB, pid uint32) {
	t.Helper()
	if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

func TestAgent_Terminate(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(2), faulty{timeout: "1m"}.service())
	before := n.awaitReady("digits", 2)
	n.awaitReady("faulty", 1)
	s := n.startStream(4, isAway, patient)
	s.more(50)
	// A task that would run far longer than an end may take.
	slow := make(chan error, 1)
	go func() {
		_, err := n.Client().Infer(context.Background(), "faulty", burn(20_000), localapi.InferOptions{Deadline: time.Minute})
		slow <- err
	}()
	n.await("the slow task to run", func(ctx context.Context) error { return n.running(ctx, "faulty") })
	begun := time.Now()
	n.stopAgent() // wants exit code 0
	took := time.Since(begun)
	t.Logf("SIGTERM to the end: %v; the slow task's caller: %v", took.Round(time.Millisecond), <-slow)
	if took > 5*time.Second {
		t.Errorf("the agent took %v to end, want at most 5 s", took)
	}
	if _, err := os.Stat(n.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	for _, i := range before {
		direct := localapi.Dial(i.Socket) // a model server speaks the same protocol
		if err := direct.Ready(t.Context()); err != nil {
			t.Errorf("instance %s does not serve on its socket while there is no agent: %v", i.ID, err)
		}
		direct.Close()
	}
	n.startAgent()
	s.more(50)
	n.wantAdopted(before)
	s.stop()
}

// burn is a request for so much CPU time of the faulty server.
func burn(ms int) edge.Payload {
	return edge.Payload{Body: fmt.Appendf(nil, `{"inputs":[{"name":"ms","shape":[1],"datatype":"FP32","data":[%d]}]}`, ms)}
}

// running is nil while a task of the model runs.
func (n *node) running(ctx context.Context, model string) error {
	tasks, err := n.Client().Tasks(ctx)
	if err != nil {
		return err
	}
	for _, task := range tasks {
		if task.Model == model && task.State == "running" {
			return nil
		}
	}
	return fmt.Errorf("tasks are %+v", tasks)
}

func TestAgent_Reload(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(1))
	before := n.awaitReady("digits", 1)
	t.Run("WorkloadAdded", func(t *testing.T) {
		n := n.in(t)
		n.deploy(digitsService(1), faulty{}.service())
		n.awaitReady("faulty", 1)
		n.awaitEvent(0, edge.EventAgentReloaded, "SIGHUP")
	})
	t.Run("FileBroken", func(t *testing.T) {
		n := n.in(t)
		faulty := n.awaitReady("faulty", 1)
		n.write("line.yaml", "services:\n  digits: {image: [}\n")
		n.reload()
		warning := n.awaitWarning("workloads-unknown", "line.yaml:")
		if warning.Remedy == "" {
			t.Error("the warning has no remedy")
		}
		if err := errors.Join(sameInstances(before, n.awaitReady("digits", 1)), sameInstances(faulty, n.awaitReady("faulty", 1))); err != nil {
			t.Error(err)
		}
		n.ask(patient)
	})
	t.Run("AgentKilledWhileTheFileIsBroken", func(t *testing.T) {
		n := n.in(t)
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		n.startAgent()
		n.awaitWarning("workloads-unknown", "line.yaml:")
		if got := n.tasks("line-"); len(got) != 2 || got[0] != before[0].ID {
			t.Errorf("containerd runs %v, want what ran before", got)
		}
	})
	t.Run("WorkloadRemoved", func(t *testing.T) {
		n := n.in(t)
		n.deploy(digitsService(1))
		n.awaitNoWarnings()
		n.await("faulty to be gone", func(ctx context.Context) error {
			view, err := n.workload(ctx, "faulty")
			if errors.Is(err, edge.ErrNotFound) {
				return nil
			}
			return errors.Join(err, fmt.Errorf("it is %+v", view))
		})
		if _, err := n.Client().Infer(t.Context(), "faulty", burn(0), patient); !refusedFor(err, edge.ReasonUnknownModel) {
			t.Errorf("a model that is gone answers %v, want %s", err, edge.ReasonUnknownModel)
		}
		if err := sameInstances(before, n.awaitReady("digits", 1)); err != nil {
			t.Error(err)
		}
	})
	t.Run("ConfigurationChanged", func(t *testing.T) {
		n := n.in(t)
		n.configure(filepath.Join(n.Folder(), "line.yaml"), "scheduler: {slots: 7}", "log: {level: debug}")
		n.reload()
		n.awaitWarning("restart-needed", "scheduler.slots")
		warning := n.awaitWarning("restart-needed", "")
		if strings.Contains(warning.Detail, "log.level") {
			t.Errorf("%q names a key that takes effect at once", warning.Detail)
		}
		n.awaitEvent(0, edge.EventAgentReloaded, "log.level")
	})
	t.Run("ConfigurationBroken", func(t *testing.T) {
		n := n.in(t)
		n.configure(filepath.Join(n.Folder(), "line.yaml"), "scheduler: {slots: many}")
		if err := syscall.Kill(n.AgentPID(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		n.awaitWarning("config-refused", "config.yaml:2")
		n.ask(patient)
	})
	t.Run("ConfigurationBack", func(t *testing.T) {
		n := n.in(t)
		n.deploy(digitsService(1))
		n.awaitNoWarnings()
	})
}

// ask has one sample answered.
func (n *node) ask(o localapi.InferOptions) localapi.Result {
	n.t.Helper()
	inputs, err := samples()
	if err != nil {
		n.t.Fatal(err)
	}
	result, err := askDigits(context.Background(), n.Client(), inputs[0], o)
	if err != nil {
		n.t.Errorf("digits: %v", err)
	}
	return result
}

func refusedFor(err error, reason edge.Reason) bool {
	refusal, refused := edge.AsRefusal(err)
	return refused && refusal.Reason == reason
}

// notifySocket listens as a service manager would, and returns what it is told.
func notifySocket(t testing.TB) <-chan string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	os.Setenv("NOTIFY_SOCKET", path)
	t.Cleanup(func() { os.Unsetenv("NOTIFY_SOCKET") })
	told := make(chan string, 64) // more than an agent says in a test
	go func() {
		defer close(told)
		text := make([]byte, 256)
		for {
			count, err := conn.Read(text)
			if err != nil {
				return
			}
			told <- string(text[:count])
		}
	}()
	return told
}
