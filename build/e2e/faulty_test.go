package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// beside starts a misbehaving model beside a well-behaved one whose callers count
// on every deadline until the test ends.
func beside(t *testing.T, f faulty) *node {
	t.Helper()
	n := newNode(t)
	n.deploy(digitsService(1))
	s := n.countOnDeadlines(n.awaitReady("digits", 1)[0])
	s.more(20)
	n.deploy(digitsService(1), f.service())
	t.Cleanup(func() {
		s.more(20)
		s.stop()
	})
	return n
}

// inferFaulty sends one task to the misbehaving model.
func (n *node) inferFaulty(deadline time.Duration) error {
	_, err := n.Client().Infer(context.Background(), "faulty", burn(1), localapi.InferOptions{Deadline: deadline})
	return err
}

// wantModelError sends one task that must end with a model error with the words.
func (n *node) wantModelError(words ...string) {
	n.t.Helper()
	err := n.inferFaulty(10 * time.Second)
	if !errors.Is(err, edge.ErrModel) {
		n.t.Fatalf("the task ended with %v, want %v", err, edge.ErrModel)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			n.t.Errorf("the caller is told %q, want it to say %q", err, word)
		}
	}
}

// awaitReplaced returns the instance that took the place of one.
func (n *node) awaitReplaced(before edge.InstanceView) edge.InstanceView {
	n.t.Helper()
	var after edge.InstanceView
	n.await("another instance than "+before.ID, func(ctx context.Context) error {
		view, err := n.workload(ctx, "faulty")
		if err != nil {
			return err
		}
		if view.Ready != 1 || len(view.Instances) != 1 || view.Instances[0].ID == before.ID {
			return fmt.Errorf("instances are %+v", view.Instances)
		}
		after = view.Instances[0]
		return nil
	})
	return after
}

func TestFaulty_NeverReady(t *testing.T) {
	n := beside(t, faulty{faults: "-never-ready", readyWithin: "1s"})
	started := n.awaitEvent(0, edge.EventInstanceStarted, "line-faulty-")
	exited := n.awaitEvent(0, edge.EventInstanceExited, started.Subject)
	if took := exited.At.Sub(started.At); took < 900*time.Millisecond || took > 10*time.Second {
		t.Errorf("the instance was killed after %v, want about 1 s", took)
	}
	if !strings.Contains(exited.Cause, "not ready within 1s") {
		t.Errorf("the instance ended because %q, want that it was not ready", exited.Cause)
	}
	warning := n.awaitWarning("model-not-ready", "not ready within 1s")
	if !strings.Contains(warning.Detail, "503") || warning.Remedy == "" {
		t.Errorf("the warning is %+v, want what the model answered and a remedy", warning)
	}
	if err := n.inferFaulty(time.Second); !refusedFor(err, edge.ReasonModelNotReady) {
		t.Errorf("a task for it ended with %v, want %s", err, edge.ReasonModelNotReady)
	}
	n.awaitEvent(exited.Seq, edge.EventInstanceStarted, "line-faulty-") // tried again
}

func TestFaulty_Garbage(t *testing.T) {
	kinds := map[string]string{ // what the caller is told of each
		"text": "not JSON", "empty": "nothing", "status": "500", "shape": "outputs[0].data",
		"header": "header", "partial": "broke", "endless": "larger",
	}
	n := beside(t, faulty{})
	for kind, words := range kinds {
		t.Run(kind, func(t *testing.T) {
			n := n.in(t)
			n.deploy(digitsService(1), faulty{faults: "-garbage " + kind, timeout: "5s"}.service())
			n.awaitNoWarnings()
			var before edge.InstanceView
			n.await("the new version alone", func(ctx context.Context) error {
				view, err := n.workload(ctx, "faulty")
				if err != nil {
					return err
				}
				if view.Ready != 1 || len(view.Instances) != 1 || !strings.Contains(fmt.Sprint(view.Workload.Command), kind) {
					return fmt.Errorf("it is %+v", view)
				}
				before = view.Instances[0]
				return nil
			})
			since := n.latest()
			for range 3 {
				n.wantModelError(words)
			}
			exited := n.awaitEvent(since, edge.EventInstanceExited, before.ID)
			if !strings.Contains(exited.Cause, "3 failed answers in a row") {
				t.Errorf("the instance was replaced because %q, want the three failed answers", exited.Cause)
			}
			n.awaitReplaced(before)
		})
	}
	t.Logf("most memory ever held: %s", mebibytes(n.memory("VmHWM")))
}

func TestFaulty_Hangs(t *testing.T) {
	n := beside(t, faulty{faults: "-hang", timeout: "1s"})
	before := n.awaitReady("faulty", 1)[0]
	since := n.latest()
	begun := time.Now()
	err := n.inferFaulty(300 * time.Millisecond)
	took := time.Since(begun)
	if !errors.Is(err, edge.ErrDeadline) {
		t.Errorf("the task ended with %v, want %v", err, edge.ErrDeadline)
	}
	if took < 300*time.Millisecond || took > 900*time.Millisecond {
		t.Errorf("its caller was told after %v, want at the deadline of 300 ms", took)
	}
	exited := n.awaitEvent(since, edge.EventInstanceExited, before.ID)
	if !strings.Contains(exited.Cause, "longer than 1s") {
		t.Errorf("the instance was killed because %q, want its timeout", exited.Cause)
	}
	if after := n.awaitReplaced(before); after.Restarts != 1 {
		t.Errorf("the instance is %+v, want one restart", after)
	}
	t.Logf("told %v after the deadline; task to its instance killed: %v",
		(took - 300*time.Millisecond).Round(time.Millisecond), exited.At.Sub(begun).Round(time.Millisecond))
}

func TestFaulty_ExitsAtOnce(t *testing.T) {
	n := beside(t, faulty{faults: "-exit-now -exit-code 3"})
	warning := n.awaitWarning("crash-loop", "exited with code 3")
	if !strings.Contains(warning.Detail, "its log: ") || warning.Remedy == "" {
		t.Errorf("the warning is %+v, want the log and a remedy", warning)
	}
	exited := n.awaitEvent(0, edge.EventInstanceExited, "line-faulty-")
	if exited.Facts["code"] != "3" {
		t.Errorf("the event says %v, want code 3", exited.Facts)
	}
	// The newest instance may have been created just now, so its words are to come.
	n.await("its last words in the log", func(ctx context.Context) error {
		log, err := n.Client().Logs(ctx, "line/faulty", 100, false)
		if err != nil {
			return err
		}
		defer log.Close()
		text, err := io.ReadAll(log)
		if err == nil && !strings.Contains(string(text), "told to exit") {
			err = fmt.Errorf("it says %q", text)
		}
		return err
	})
}

func TestFaulty_DiesInTheMiddle(t *testing.T) {
	n := beside(t, faulty{faults: "-exit-after 1 -exit-code 4"})
	before := n.awaitReady("faulty", 1)[0]
	if err := n.inferFaulty(10 * time.Second); err != nil {
		t.Fatalf("the first task ended with %v", err)
	}
	n.wantModelError("exited with code 4")
	n.awaitReplaced(before)
	if err := n.inferFaulty(10 * time.Second); err != nil {
		t.Errorf("the replacement's first task ended with %v", err)
	}
}

func TestFaulty_EatsItsMemory(t *testing.T) {
	n := beside(t, faulty{faults: "-eat 16", memory: "40M", timeout: "5s"})
	before := n.awaitReady("faulty", 1)[0]
	since := n.latest()
	n.await("the memory to be eaten", func(context.Context) error {
		err := n.inferFaulty(10 * time.Second)
		if err == nil {
			return errors.New("it still answers")
		}
		if !errors.Is(err, edge.ErrModel) || !strings.Contains(err.Error(), "memory limit") {
			t.Fatalf("the task ended with %v, want the memory limit named", err)
		}
		return nil
	})
	exited := n.awaitEvent(since, edge.EventInstanceExited, before.ID)
	if !strings.Contains(exited.Facts["how"], "memory limit") {
		t.Errorf("the event says %v, want the memory limit", exited.Facts)
	}
	n.awaitReplaced(before)
}

func TestFaulty_IgnoresTerm(t *testing.T) {
	n := beside(t, faulty{faults: "-ignore-term -fork 4"})
	n.awaitReady("faulty", 1)
	begun := time.Now()
	n.deploy(digitsService(1)) // stop_grace_period is 1 s
	n.await("the workload to be gone", func(ctx context.Context) error {
		_, err := n.workload(ctx, "faulty")
		if errors.Is(err, edge.ErrNotFound) {
			return nil
		}
		return errors.Join(err, errors.New("it is still there"))
	})
	took := time.Since(begun)
	t.Logf("removed after %v", took.Round(time.Millisecond))
	if took < 900*time.Millisecond || took > 10*time.Second {
		t.Errorf("it was removed after %v, want about its grace of 1 s", took)
	}
}

func TestFaulty_SlowBurn(t *testing.T) {
	// Two hundred milliseconds of a core where ten were declared.
	n := beside(t, faulty{faults: "-burn 200ms", cpus: "1", timeout: "10s"})
	before := n.awaitReady("faulty", 1)
	for range 5 {
		begun := time.Now()
		err := n.inferFaulty(50 * time.Millisecond)
		_, refused := edge.AsRefusal(err)
		if !refused && !errors.Is(err, edge.ErrDeadline) {
			t.Errorf("a task ended with %v, want the deadline missed or refused", err)
		}
		if took := time.Since(begun); took > 500*time.Millisecond {
			t.Errorf("its caller was told after %v, want at most at the deadline of 50 ms", took)
		}
	}
	if err := n.inferFaulty(10 * time.Second); err != nil {
		t.Errorf("a task with time enough ended with %v", err)
	}
	// Being slow costs no instance its life.
	if err := sameInstances(before, n.awaitReady("faulty", 1)); err != nil {
		t.Error(err)
	}
}
