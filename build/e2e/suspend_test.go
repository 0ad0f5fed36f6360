package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// worker is a model that uses as much CPU time as it is asked for; long, in batches, and
// short, which is urgent, are two of them.
func worker(name, cost, timeout string, extra ...string) string {
	return fmt.Sprintf(`  %s:
    image: %s
    command: ["-model", "%[1]s"]
    stop_grace_period: 5s
    deploy: {resources: {limits: {cpus: "2", memory: 48M, pids: 64}}}
    x-holdfast: {model: %[1]s, endpoint: "unix:///run/model/model.sock", cost: %[3]s, timeout: %[4]s%[5]s}
`, name, faultyImage, cost, timeout, strings.Join(extra, ""))
}

// The long task of these tests, and the urgent ones that it gives way to, in milliseconds
// of CPU time.
const (
	longWork  = 700
	shortWork = 2600
	// longTimeout is less than shortWork: who counted the time of its suspension would
	// take the long task for hung.
	longTimeout = 2500 * time.Millisecond
)

// pressing is a deadline that leaves a task of shortWork little of the 6 s it is declared
// to take: what runs gives way at once. It really leaves more, for a busy machine.
var pressing = urgently(6090 * time.Millisecond)

func urgently(within time.Duration) localapi.InferOptions {
	class := edge.Urgent
	return localapi.InferOptions{Class: &class, Deadline: within}
}

func inBatch(within time.Duration) localapi.InferOptions {
	class := edge.Batch
	return localapi.InferOptions{Class: &class, Deadline: within}
}

// answer is how a task ended.
type answer struct {
	result localapi.Result
	err    error
}

// send has a task answered while the test goes on.
func (n *node) send(model string, ms int, o localapi.InferOptions) <-chan answer {
	answered := make(chan answer, 1)
	go func() {
		result, err := n.Client().Infer(context.Background(), model, burn(ms), o)
		answered <- answer{result, err}
	}()
	return answered
}

// busy is a node of one slot on which a long task runs.
func busy(t *testing.T, set ...string) (n *node, long <-chan answer) {
	t.Helper()
	return busyFor(t, longTimeout, set...)
}

// busyFor is busy, with a long task that may be worked on for so long.
func busyFor(t *testing.T, timeout time.Duration, set ...string) (n *node, long <-chan answer) {
	t.Helper()
	n = newNode(t, append([]string{"scheduler.slots=1"}, set...)...)
	n.deploy(worker("long", "700ms", timeout.String()), worker("short", "6s", "10s"))
	n.awaitReady("long", 1)
	n.awaitReady("short", 1)
	long = n.startLong()
	return n, long
}

// startLong sends the long task and returns once it runs.
func (n *node) startLong() <-chan answer {
	n.t.Helper()
	long := n.send("long", longWork, inBatch(time.Minute))
	n.await("the long task to run", func(ctx context.Context) error { return n.running(ctx, "long") })
	return long
}

// awaitSuspended returns once the long task's instance is suspended, as lists and the
// kernel have it.
func (n *node) awaitSuspended() (instance edge.InstanceView) {
	n.t.Helper()
	n.await("the long task's instance to be suspended", func(ctx context.Context) error {
		view, err := n.workload(ctx, "long")
		if err != nil || len(view.Instances) != 1 || view.Instances[0].State != edge.InstanceSuspended {
			return errors.Join(err, fmt.Errorf("it is %+v", view.Instances))
		}
		if instance = view.Instances[0]; view.Ready != 1 {
			return fmt.Errorf("%d instances are ready, want the suspended one to count", view.Ready)
		}
		return nil
	})
	if !n.frozen(instance.ID) {
		n.t.Errorf("the kernel does not hold %s", instance.ID)
	}
	return instance
}

// frozen tells what the kernel says, in either version of cgroups.
func (n *node) frozen(id string) bool {
	n.t.Helper()
	looked := false
	for _, pattern := range []string{"/sys/fs/cgroup%s/%s/%s", "/sys/fs/cgroup/*%s/%s/%s"} {
		for _, name := range []string{"cgroup.freeze", "freezer.state"} {
			files, err := filepath.Glob(fmt.Sprintf(pattern, n.Cgroup(), id, name))
			if err != nil {
				n.t.Fatal(err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					n.t.Fatal(err)
				}
				looked = true
				if says := string(bytes.TrimSpace(text)); says != "0" && says != "THAWED" {
					return true
				}
			}
		}
	}
	if !looked {
		n.t.Fatalf("no cgroup of %s is to be found below %s", id, n.Cgroup())
	}
	return false
}

func (n *node) wantDone(what string, answered <-chan answer) localapi.Result {
	n.t.Helper()
	a := <-answered
	if a.err != nil {
		n.t.Errorf("the %s task ended with %v", what, a.err)
	}
	return a.result
}

// wantUndisturbed wants that nothing happened to an instance but what was meant to.
func (n *node) wantUndisturbed() {
	n.t.Helper()
	n.awaitNoWarnings()
	for _, e := range n.events(0) {
		switch e.Kind {
		case edge.EventInstanceExited, edge.EventInstanceUnready, edge.EventInstanceFailed:
			n.t.Errorf("there is the event %s of %s (%s)", e.Kind, e.Subject, e.Cause)
		}
	}
}

func TestSuspend_GivesWay(t *testing.T) {
	n, long := busy(t)
	since := time.Now()
	short := n.send("short", shortWork, pressing)
	n.awaitSuspended()
	if got := n.wantDone("urgent", short); !got.OnTime {
		t.Errorf("the urgent task was late: %+v", got)
	}
	n.wantDone("long", long)
	if took := time.Since(since); took < longTimeout {
		t.Errorf("it was over after %v: too soon to show anything", took)
	}
	t.Logf("a task of %d ms was answered after %v", longWork, time.Since(since).Round(time.Millisecond))
	status, err := n.Client().Status(t.Context())
	if err != nil || status.Scheduler.Suspensions < 1 || status.Scheduler.Suspended != 0 {
		t.Errorf("status counts %d suspensions, %d of them now (%v), want one and none",
			status.Scheduler.Suspensions, status.Scheduler.Suspended, err)
	}
	n.wantUndisturbed()
}

// TestSuspend_AgentDies ends the agent in every way while an instance is frozen: the next
// one finds it serving, and it is the same process.
func TestSuspend_AgentDies(t *testing.T) {
	ends := map[string]func(n *node) (frozen bool){
		"Killed": func(n *node) bool {
			if err := n.KillAgent(); err != nil {
				n.t.Fatal(err)
			}
			return true
		},
		"Terminated": func(n *node) bool {
			n.stopAgent()
			return false
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			n, long := busy(t)
			short := n.send("short", shortWork, pressing)
			before := n.awaitSuspended()
			if want := end(n); n.frozen(before.ID) != want {
				t.Errorf("after the agent's end: got frozen %v, want %v", !want, want)
			}
			<-short
			<-long // answered before the end, perhaps, by an agent that was asked to end
			began := time.Now()
			n.startAgent()
			if err := sameInstances([]edge.InstanceView{before}, n.awaitReady("long", 1)); err != nil {
				t.Error(err)
			}
			t.Logf("served again %v after the new agent's start", time.Since(began).Round(time.Millisecond))
			if n.frozen(before.ID) {
				t.Error("the new agent left the instance frozen")
			}
			n.wantDone("next long", n.send("long", 10, inBatch(30*time.Second)))
			n.wantUndisturbed()
		})
	}
}

func TestSuspend_ContainerdDies(t *testing.T) {
	n, long := busy(t)
	short := n.send("short", shortWork, pressing)
	before := n.awaitSuspended()
	n.killDaemon()
	n.restartDaemon()
	n.wantDone("urgent", short)
	n.wantDone("long", long)
	if err := sameInstances([]edge.InstanceView{before}, n.awaitReady("long", 1)); err != nil {
		t.Error(err)
	}
}

// TestSuspend_Restart replaces an instance while it is suspended.
func TestSuspend_Restart(t *testing.T) {
	n, long := busyFor(t, time.Minute) // the two share the machine from then on
	short := n.send("short", shortWork, pressing)
	before := n.awaitSuspended()
	if err := n.Client().Restart(t.Context(), "line/long"); err != nil {
		t.Fatal(err)
	}
	n.await("another instance", func(ctx context.Context) error {
		view, err := n.workload(ctx, "long")
		if err != nil || view.Ready != 1 || len(view.Instances) != 1 || view.Instances[0].ID == before.ID {
			return errors.Join(err, fmt.Errorf("instances are %+v", view.Instances))
		}
		return nil
	})
	<-short // what counts is that both end
	n.wantDone("long", long)
	n.wantUndisturbed()
}

// TestSuspend_Dies kills an instance from outside while it is suspended.
func TestSuspend_Dies(t *testing.T) {
	n, long := busy(t)
	short := n.send("short", shortWork, pressing)
	before := n.awaitSuspended()
	kill(t, before.PID)
	if a := <-long; !errors.Is(a.err, edge.ErrModel) {
		t.Errorf("the long task ended with %v, want %v", a.err, edge.ErrModel)
	}
	n.wantDone("urgent", short)
	n.awaitEvent(0, edge.EventInstanceExited, before.ID)
	n.awaitReady("long", 1) // on a slow machine another is not up yet
	n.wantDone("next long", n.send("long", 10, inBatch(30*time.Second)))
}

func TestSuspend_Off(t *testing.T) {
	for name, set := range map[string][]string{
		"ByConfiguration": {"scheduler.preempt=false"},
		"ByOrder":         {"scheduler.order=edf-refuse"},
	} {
		t.Run(name, func(t *testing.T) {
			n, long := busy(t, set...)
			a := <-n.send("short", shortWork, pressing)
			if !refusedFor(a.err, edge.ReasonDeadlineUnreachable) {
				t.Errorf("the urgent task ended with %v, want %s", a.err, edge.ReasonDeadlineUnreachable)
			}
			n.wantDone("long", long)
			if status, err := n.Client().Status(t.Context()); err != nil || status.Scheduler.Suspensions != 0 {
				t.Errorf("status counts %d suspensions (%v), want none", status.Scheduler.Suspensions, err)
			}
		})
	}
	t.Run("ByWorkload", func(t *testing.T) {
		n := newNode(t, "scheduler.slots=1")
		n.deploy(worker("long", "700ms", longTimeout.String(), ", preemptible: false"), worker("short", "6s", "10s"))
		n.awaitReady("long", 1)
		n.awaitReady("short", 1)
		long := n.startLong()
		<-n.send("short", shortWork, pressing)
		n.wantDone("long", long)
		if status, err := n.Client().Status(t.Context()); err != nil || status.Scheduler.Suspensions != 0 {
			t.Errorf("status counts %d suspensions (%v), want none", status.Scheduler.Suspensions, err)
		}
		n.awaitNoWarnings() // it is as it is wanted
	})
}

// TestSuspend_Latency has short urgent tasks answered beside long ones that would take
// every core, with suspension and without, and tells what they took.
func TestSuspend_Latency(t *testing.T) {
	const work = 20
	within := urgently(100 * time.Millisecond)
	measure := func(t *testing.T, tasks int, hogs bool, o localapi.InferOptions, set ...string) (took []time.Duration, refused int) {
		n := newNode(t, set...)
		n.deploy(worker("long", "400ms", "5s"), worker("other", "400ms", "5s"), worker("short", "20ms", "5s"))
		for _, name := range []string{"long", "other", "short"} {
			n.awaitReady(name, 1)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan int, 2)
		for _, name := range []string{"long", "other"} {
			go func() {
				done := 0
				for hogs && ctx.Err() == nil {
					if _, err := n.Client().Infer(context.Background(), name, burn(400), inBatch(10*time.Minute)); err == nil {
						done++
					}
				}
				ended <- done
			}()
		}
		pause := time.NewTicker(60 * time.Millisecond)
		defer pause.Stop()
		for range tasks {
			<-pause.C
			began := time.Now()
			_, err := n.Client().Infer(context.Background(), "short", burn(work), o)
			if err != nil {
				refused++
				continue
			}
			took = append(took, time.Since(began))
		}
		stop()
		t.Logf("long tasks done meanwhile: %d", <-ended+<-ended)
		slices.Sort(took)
		return took, refused
	}
	tell := func(t *testing.T, tasks int, took []time.Duration, refused int) (median time.Duration) {
		at := func(share float64) time.Duration {
			if len(took) == 0 {
				return 0
			}
			return took[int(share*float64(len(took)-1))].Round(100 * time.Microsecond)
		}
		t.Logf("%d ms of work: p50 %v, p90 %v, p99 %v, most %v; %d of %d not answered", work, at(.5), at(.9), at(.99), at(1), refused, tasks)
		return at(.5)
	}
	var on, off time.Duration
	t.Run("Alone", func(t *testing.T) {
		took, refused := measure(t, 20, false, within)
		tell(t, 20, took, refused)
	})
	t.Run("Suspending", func(t *testing.T) {
		took, refused := measure(t, 50, true, within)
		if on = tell(t, 50, took, refused); len(took) < 45 {
			t.Errorf("%d of 50 urgent tasks were answered in time", len(took))
		}
	})
	t.Run("NotSuspending", func(t *testing.T) {
		took, refused := measure(t, 15, true, urgently(5*time.Second), "scheduler.preempt=false")
		off = tell(t, 15, took, refused)
	})
	if on >= off {
		t.Errorf("urgent tasks took %v with suspension and %v without", on, off)
	}
}
