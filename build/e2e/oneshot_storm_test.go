package e2e_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"holdfast/edge/localapi"
)

// killAtAnyMoment kills the agent, and containerd every other time, at any moment while
// containers are made, at work and taken away. Nothing of it may be left at the end.
func (n *node) killAtAnyMoment(t *testing.T) {
	n.t.Helper()
	samples := heldOut(t)
	for round := range soak() {
		n.killAmong(t, samples)
		if round%2 == 1 {
			n.killDaemon()
			n.restartDaemon()
		}
		n.startAgent()
		n.awaitTools()
	}
	n.wantReport("report", samples)
	n.wantReport("files", samples)
}

// killAmong kills the agent among tasks, each of which has an end.
func (n *node) killAmong(t *testing.T, samples []byte) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var all sync.WaitGroup
	for _, model := range []string{"report", "report", "report", "files", "fail", "hang"} {
		all.Go(func() {
			_, err := n.askTool(ctx, model, samples, localapi.InferOptions{Deadline: 3 * time.Second})
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a task of %s had no end: %v", model, err)
			}
		})
	}
	timer := time.NewTimer(rand.N(400 * time.Millisecond))
	<-timer.C
	if err := n.KillAgent(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
}
