package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// digitsWith is the sample model with so many MiB: another spec for each figure.
func digitsWith(replicas, memory int) string {
	return strings.Replace(digitsService(replicas), "memory: 64M", fmt.Sprintf("memory: %dM", memory), 1)
}

// changing is one of a row of policies: each changes deadlines and tenants, every
// third the instances too.
func changing(version int) draft {
	return draft{
		version: uint64(version),
		sections: []string{
			fmt.Sprintf("classes: {normal: {deadline: %dms}, batch: {deadline: %dm}}", 1000+version*100, version),
			fmt.Sprintf("tenants: {vision: {rate: %d/s, burst: 1000}, tenant-%d: {cpu: 1}, _default: {rate: 5000/s, burst: 5000}}", 1000+version, version),
		},
		services: []string{digitsWith(2, 64+version/3)},
	}
}

// isRefused tells whether a task was refused at submission for a reason.
func isRefused(err error) bool {
	refusal, refused := edge.AsRefusal(err)
	return refused && refusal.Reason != edge.ReasonHopeless // which is how an accepted one is evicted
}

// settled adds up how the tasks of all classes ended.
func (n *node) settled() map[string]uint64 {
	n.t.Helper()
	status, err := n.Client().Status(context.Background())
	if err != nil {
		n.t.Fatal(err)
	}
	ends := map[string]uint64{}
	for _, class := range status.Scheduler.Classes {
		for outcome, count := range class.Settled {
			ends[outcome] += count
		}
	}
	return ends
}

// TestPolicy_Hot applies nineteen policies while tasks stream. No control for their
// deadlines, which are ten seconds: what counts is that none is lost.
func TestPolicy_Hot(t *testing.T) {
	const versions = 20
	n := newNode(t)
	n.stopAgent()
	d := n.govern("")
	n.startAgent()
	var signed [][]byte
	for version := 1; version <= versions; version++ {
		signed = append(signed, d.read(d.sign(changing(version))))
	}
	n.bring(signed[0])
	n.awaitReady("digits", 2)
	s := n.startStream(3, isRefused, patient)
	vision := n.startStream(1, isRefused, localapi.InferOptions{Deadline: patient.Deadline, Tenant: "vision"})
	s.more(100)
	var took []time.Duration
	for _, envelope := range signed[1:] {
		took = append(took, n.bring(envelope))
		s.more(30)
		vision.more(10)
	}
	n.await("both instances to be as the last version says", func(ctx context.Context) error {
		view, err := n.workload(ctx, "digits")
		if err != nil {
			return err
		}
		for _, i := range view.Instances {
			if view.Ready != 2 || i.SpecHash != view.Workload.SpecHash() {
				return fmt.Errorf("it has %+v", view.Instances)
			}
		}
		return nil
	})
	s.more(50)
	s.stop()
	vision.stop()
	n.wantPolicy(versions, "current")
	slices.Sort(took)
	t.Logf("%d applied: fastest %v, median %v, slowest %v", len(took), took[0], took[len(took)/2], took[len(took)-1])
	ends, answered := n.settled(), uint64(s.answered+vision.answered)
	t.Logf("%d answered by count of the clients; by count of the node %v", answered, ends)
	for _, outcome := range edge.Outcomes {
		count := ends[outcome.String()]
		switch outcome {
		case edge.Completed:
			if count != answered {
				t.Errorf("the node completed %d tasks, its clients have %d answers", count, answered)
			}
		case edge.Refused:
			if count != uint64(s.retried+vision.retried) {
				t.Errorf("the node refused %d tasks, its clients heard no %d times", count, s.retried+vision.retried)
			}
		default:
			if count != 0 {
				t.Errorf("%d tasks were %s", count, outcome)
			}
		}
	}
}

// bring applies a signed policy and says how long that took.
func (n *node) bring(envelope []byte) time.Duration {
	n.t.Helper()
	begun := time.Now()
	if _, err := n.Client().ApplyPolicy(context.Background(), envelope); err != nil {
		n.t.Fatal(err)
	}
	return time.Since(begun).Round(10 * time.Microsecond)
}

// TestPolicy_Killed kills the agent at any moment while policies are applied, and
// wants what was acknowledged, and nothing that was never begun.
func TestPolicy_Killed(t *testing.T) {
	const (
		rounds = 20
		// An apply takes some 10 ms; so some kills meet none, one that has just begun,
		// one that is being written, and one that is acknowledged.
		longest = 25 * time.Millisecond
	)
	n := newNode(t)
	n.stopAgent()
	d := n.govern("")
	n.startAgent()
	versions := killVersions(d, 4*rounds)
	n.bring(versions[0])
	before := n.awaitReady("digits", 1)
	inForce, found := uint64(1), map[string]int{}
	for range rounds {
		acknowledged, begun := n.killWhileApplying(versions, inForce, rand.N(longest))
		n.startAgent()
		in := n.policy()
		if in.Version < acknowledged || in.Version > begun || !in.Kept {
			t.Fatalf("after a restart version %d is in force (kept: %v), want %d to %d", in.Version, in.Kept, acknowledged, begun)
		}
		found[fmt.Sprintf("%d acknowledged, %d beyond", acknowledged-inForce, in.Version-acknowledged)]++
		inForce = in.Version
		if err := sameInstances(before, n.awaitReady("digits", 1)); err != nil {
			t.Fatal(err)
		}
	}
	n.ask(patient)
	t.Logf("%d kills, version %d in force; how many rounds found:", rounds, inForce)
	for _, key := range slices.Sorted(maps.Keys(found)) {
		t.Logf("%3d × %s", found[key], key)
	}
	if inForce < 2 {
		t.Error("no version was applied at all")
	}
}

// killVersions are signed policies that differ and leave the instances as they are.
func killVersions(d *desk, count int) (signed [][]byte) {
	for version := 1; version <= count; version++ {
		signed = append(signed, d.read(d.sign(draft{
			version:  uint64(version),
			sections: []string{fmt.Sprintf("classes: {normal: {deadline: %dms}}", 1000+version)},
			services: []string{digitsService(1)},
		})))
	}
	return signed
}

// killWhileApplying applies one version after another until the agent is killed, and
// says which was acknowledged and which begun last.
func (n *node) killWhileApplying(versions [][]byte, inForce uint64, after time.Duration) (acknowledged, begun uint64) {
	n.t.Helper()
	acknowledged, begun = inForce, inForce
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for int(begun) < len(versions) {
			begun++
			if _, err := n.Client().ApplyPolicy(context.Background(), versions[begun-1]); err != nil {
				return
			}
			acknowledged = begun
		}
	}()
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
		n.t.Fatalf("version %d is the last there is, or was refused", begun)
	}
	if err := n.KillAgent(); err != nil {
		n.t.Fatal(err)
	}
	<-ended
	return acknowledged, begun
}
