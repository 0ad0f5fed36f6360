package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/edge"
)

// plainService is a plain service that answers by HTTP in a network of its own, which nobody
// else reaches. It takes a moment to listen, as servers do.
func plainService(name string, more ...string) string {
	return fmt.Sprintf(`  %s:
    image: %s
    command: ["-listen", "tcp://127.0.0.1:8080", "-ready-after", "300ms"]
    restart: always
    stop_grace_period: 300ms
    deploy: {resources: {limits: {cpus: "0.5", memory: 64M, pids: 32}}}
%s
`, name, faultyImage, strings.Join(more, "\n"))
}

// healthCommand is a health check that runs the program inside, which ends with the code.
func healthCommand(code int) string {
	return fmt.Sprintf(`    healthcheck: {test: [CMD, /faulty-server, -exit-now, -exit-code, "%d"], interval: 500ms, timeout: 5s, retries: 3}`, code)
}

// onPort asks at the service's own loopback.
func onPort(question string) string {
	return fmt.Sprintf("    x-holdfast: {readiness: {%s, port: 8080, period: 500ms}, liveness: {%s, port: 8080, period: 500ms, timeout: 500ms, failures: 2}}",
		question, question)
}

// TestProbe_Ways asks real containers in every way there is.
func TestProbe_Ways(t *testing.T) {
	n := newNode(t)
	n.deploy(
		plainService("web", onPort("http: /v2/health/ready")),
		plainService("door", strings.ReplaceAll(onPort(""), "{, ", "{")),
		plainService("well", healthCommand(0)),
		plainService("ill", healthCommand(1)),
		plainService("gone", onPort("http: /nowhere")),
	)
	for _, name := range []string{"web", "door", "well"} {
		t.Run(name, func(t *testing.T) {
			n := n.in(t)
			instance := n.awaitReady(name, 1)[0]
			ready := n.awaitEvent(0, edge.EventInstanceReady, instance.ID)
			t.Logf("%s: ready %v after it was started", name, ready.Facts["took"])
		})
	}
	t.Run("Ill", func(t *testing.T) {
		n := n.in(t)
		ended := n.awaitEvent(0, edge.EventInstanceExited, "line-ill-")
		if !strings.Contains(ended.Cause, "startup probe (/faulty-server -exit-now -exit-code 1): exited with code 1") {
			t.Errorf("it ended because %q, want its health check and what that said", ended.Cause)
		}
		n.awaitWarning("crash-loop", "startup probe")
	})
	t.Run("NotReadyIsNotStartedAgain", func(t *testing.T) {
		n := n.in(t)
		view, err := n.workload(t.Context(), "gone")
		if err != nil || view.Ready != 0 || len(view.Instances) != 1 {
			t.Fatalf("got %+v, %v, want one that is not ready", view, err)
		}
	})
	t.Run("HungIsStartedAgain", func(t *testing.T) {
		n := n.in(t)
		before := n.awaitReady("web", 1)[0]
		if err := syscall.Kill(int(before.PID), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		ended := n.awaitEvent(0, edge.EventInstanceExited, before.ID)
		if !strings.Contains(ended.Cause, "liveness probe (GET :8080/v2/health/ready): no answer within 500ms") {
			t.Errorf("it ended because %q, want that it did not answer", ended.Cause)
		}
		n.await("another to be ready", func(ctx context.Context) error {
			view, err := n.workload(ctx, "web")
			if err == nil && (view.Ready != 1 || view.Instances[0].ID == before.ID) {
				err = fmt.Errorf("it has %+v", view.Instances)
			}
			return err
		})
		t.Logf("hung to ready again: %v", time.Since(begun).Round(time.Millisecond))
	})
}
