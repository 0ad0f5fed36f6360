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

// guestsUntil is the last of the changing policies that lets the tenant guest in.
const guestsUntil = 10

// changing is one of a row of policies: each changes deadlines and tenants, every
// third the instances too.
func changing(version int) draft {
	guest := ""
	if version <= guestsUntil {
		guest = ", guest: {rate: 5000/s, burst: 5000}"
	}
	return draft{
		version: uint64(version),
		sections: []string{
			fmt.Sprintf("classes: {normal: {deadline: %dms}, batch: {deadline: %dm}}", 1000+version*100, version),
			fmt.Sprintf("tenants: {line: {rate: %d/s, burst: 5000}, vision: {cpu: %d}%s}", 5000+version, 1+version, guest),
		},
		services: []string{strings.Replace(digitsWith(2, 64+version/3), "{model:", "{tenant: line, model:", 1)},
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

// tenant is what a patient caller asks in the name of a tenant.
func tenant(name string) localapi.InferOptions {
	return localapi.InferOptions{Deadline: patient.Deadline, Tenant: name}
}

// TestPolicy_Hot applies nineteen policies while tasks stream. No control for their
// deadlines, which are ten seconds: what counts is that none is lost but those of a
// tenant who is let in no more.
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
	line, vision := n.startStream(2, isRefused, tenant("line")), n.startStream(1, isRefused, tenant("vision"))
	guest := n.startStream(1, never, tenant("guest"))
	line.more(100)
	var took []time.Duration
	for i, envelope := range signed[1:] {
		if i+2 == guestsUntil+1 {
			guest.more(1)
			n.wantNone(guest)
		}
		took = append(took, n.bring(envelope))
		line.more(30)
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
	line.more(50)
	line.stop()
	vision.stop()
	n.wantPolicy(versions, "current")
	slices.Sort(took)
	t.Logf("%d applied: fastest %v, median %v, slowest %v", len(took), took[0], took[len(took)/2], took[len(took)-1])
	turnedAway := guest.end()
	for _, err := range turnedAway {
		if !refusedFor(err, edge.ReasonDenied) {
			t.Errorf("the guest saw: %v", err)
		}
	}
	t.Logf("the guest had %d answers and was then turned away %d times", guest.answered, len(turnedAway))
	if guest.answered == 0 || len(turnedAway) == 0 {
		t.Error("the guest was not both let in and turned away")
	}
	n.wantCounted(line.answered+vision.answered+guest.answered, line.retried+vision.retried+len(turnedAway))
}

// wantNone wants the clients of a stream to have seen no failure until now.
func (n *node) wantNone(s *stream) {
	n.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) > 0 {
		n.t.Errorf("a client saw: %v", s.failures[0])
	}
}

// wantCounted wants the node to have counted just what its clients have: answers, and
// tasks turned away, be it at the door or, as they waited, by a policy.
func (n *node) wantCounted(answered, turnedAway int) {
	n.t.Helper()
	ends := n.settled()
	n.t.Logf("%d answered and %d turned away by count of the clients; by count of the node %v", answered, turnedAway, ends)
	count := func(outcome edge.Outcome) int { return int(ends[outcome.String()]) }
	if count(edge.Completed) != answered || count(edge.Refused)+count(edge.Evicted) != turnedAway {
		n.t.Error("the node's counts are not those of its clients")
	}
	for _, outcome := range [...]edge.Outcome{edge.Missed, edge.Cancelled, edge.Failed} {
		if count(outcome) != 0 {
			n.t.Errorf("%d tasks were %s", count(outcome), outcome)
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

// killsATrialForgives is how often an agent may end without order while a policy is new:
// once more, and the policy is taken back, as it should be.
const killsATrialForgives = 2

// TestPolicy_Killed kills the agent at any moment while policies are applied, and
// wants what was acknowledged, and nothing that was never begun.
func TestPolicy_Killed(t *testing.T) {
	const rounds, eachRound = 20, 4 // versions at most
	n := newNode(t)
	n.stopAgent()
	d := n.govern("")
	n.startAgent()
	versions := killVersions(d, (eachRound+1)*rounds+2)
	n.bring(versions[0])
	before := n.awaitReady("digits", 1)
	// Some kills meet no apply, some one that has just begun, one that is being written,
	// and one that is acknowledged, however fast this machine is.
	longest := eachRound * n.bring(versions[1])
	inForce, found := uint64(2), map[string]int{}
	kills := map[uint64]int{}
	for range rounds {
		if kills[inForce] == killsATrialForgives {
			n.bring(versions[inForce])
			inForce++
		}
		acknowledged, begun := n.killWhileApplying(versions[inForce:inForce+eachRound], inForce, rand.N(longest))
		n.startAgent()
		in := n.policy()
		if in.Version < acknowledged || in.Version > begun || !in.Kept {
			t.Fatalf("after a restart version %d is in force (kept: %v), want %d to %d", in.Version, in.Kept, acknowledged, begun)
		}
		found[fmt.Sprintf("%d acknowledged, %d beyond", acknowledged-inForce, in.Version-acknowledged)]++
		inForce = in.Version
		kills[inForce]++
		if err := sameInstances(before, n.awaitReady("digits", 1)); err != nil {
			t.Fatal(err)
		}
	}
	n.ask(patient)
	t.Logf("%d kills, each within %v, version %d in force; how many rounds found:", rounds, longest, inForce)
	for _, key := range slices.Sorted(maps.Keys(found)) {
		t.Logf("%3d × %s", found[key], key)
	}
	if inForce == 2 {
		t.Error("no version was applied in the rounds at all")
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

// killWhileApplying applies what comes after the version in force, one after another,
// until the agent is killed, and says which was acknowledged and which begun last.
func (n *node) killWhileApplying(next [][]byte, inForce uint64, after time.Duration) (acknowledged, begun uint64) {
	n.t.Helper()
	acknowledged, begun = inForce, inForce
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, envelope := range next {
			begun++
			if _, err := n.Client().ApplyPolicy(context.Background(), envelope); err != nil {
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
	}
	if err := n.KillAgent(); err != nil {
		n.t.Fatal(err)
	}
	<-ended
	return acknowledged, begun
}
