package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast/edge"
)

// seed is a service that ends well and is waited for.
func seed(more string) string {
	return fmt.Sprintf("  seed:\n    image: %s\n    command: [\"-exit-now\", \"-exit-code\", \"0\"]\n    restart: \"no\"\n%s\n", faultyImage, more)
}

// TestDepends_Journey starts an app in the order it asks for, loses a part of it, and
// takes it away the other way round.
func TestDepends_Journey(t *testing.T) {
	n := newNode(t)
	since := n.latest()
	digits := strings.Replace(digitsService(1), "    x-holdfast:",
		"    depends_on:\n      store: {condition: service_healthy}\n      seed: {condition: service_completed_successfully}\n    x-holdfast:", 1)
	store := plainService("store", onPort("http: /v2/health/ready"))
	seed := seed("    depends_on: {store: {condition: service_healthy}}")
	n.deploy(digits, store, seed)
	n.awaitReady("digits", 1)
	n.ask(patient)
	t.Run("InOrder", func(t *testing.T) {
		order := n.in(t).order(since, "store ready", "seed started", "seed exited", "digits started", "digits ready")
		want := []string{"store ready", "seed started", "seed exited", "digits started", "digits ready"}
		if !slices.Equal(order, want) {
			t.Errorf("got %v, want %v", order, want)
		}
	})
	t.Run("LossIsToldAndStopsNobody", func(t *testing.T) {
		n := n.in(t)
		before := n.awaitReady("digits", 1)[0]
		since := n.latest()
		kill(t, n.awaitReady("store", 1)[0].PID)
		lost := n.awaitEvent(since, edge.EventDependencyLost, "line/digits")
		n.awaitEvent(lost.Seq, edge.EventDependencyBack, "line/digits")
		if after := n.awaitReady("digits", 1)[0]; after.ID != before.ID {
			t.Errorf("got %s, want %s to run on", after.ID, before.ID)
		}
	})
	t.Run("AgentRestartKeepsThem", func(t *testing.T) {
		n := n.in(t)
		before := n.awaitReady("digits", 1)
		since := n.latest()
		n.stopAgent()
		n.startAgent()
		n.awaitReady("store", 1)
		if err := sameInstances(before, n.awaitReady("digits", 1)); err != nil {
			t.Error(err)
		}
		for _, e := range n.events(since) {
			if e.Kind == edge.EventInstanceStarted {
				t.Errorf("%s was started", e.Subject)
			}
		}
	})
	t.Run("GoneInReverse", func(t *testing.T) {
		n := n.in(t)
		since := n.latest()
		n.deploy()
		n.await("nothing to run", func(ctx context.Context) error { return n.AwaitNothing(ctx) })
		order := n.order(since, "store stopped", "digits stopped")
		if want := []string{"digits stopped", "store stopped"}; !slices.Equal(order, want) {
			t.Errorf("got %v, want %v", order, want)
		}
	})
}

// order lists those of the given moments, "service what", that have come since, in the
// order in which they came for the first time.
func (n *node) order(since uint64, moments ...string) (order []string) {
	n.t.Helper()
	for _, e := range n.events(since) {
		_, service, _ := strings.Cut(e.Facts["workload"], "/")
		moment := service + strings.Replace(string(e.Kind), "instance-", " ", 1)
		if slices.Contains(moments, moment) && !slices.Contains(order, moment) {
			order = append(order, moment)
		}
	}
	return order
}
