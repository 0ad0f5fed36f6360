package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdfast/edge"
)

// backService answers on TCP and is no model server, for the services on its network.
const backService = `  back:
    image: ` + faultyImage + `
    command: ["-listen", "tcp://0.0.0.0:7000"]
    restart: always
    networks: [inside]
`

// onNetwork is the sample model on a network of its app.
func onNetwork() string { return digitsService(1) + "    networks: [inside]\n" }

// deployNetworked makes services the node's workloads, with their network.
func (n *node) deployNetworked(services ...string) {
	n.t.Helper()
	n.configure(n.write("line.yaml", "name: line\nnetworks: {inside: {internal: true}}\nservices:\n"+strings.Join(services, "")))
	n.reload()
}

// knows is the address an instance has for a name.
func knows(instance edge.InstanceView, name string) string {
	text, err := inside(instance, "/etc/hosts")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == name {
			return fields[0]
		}
	}
	return ""
}

// reaches calls a name from where an instance is.
func reaches(instance edge.InstanceView, name string) error {
	address := knows(instance, name)
	if address == "" {
		return fmt.Errorf("it knows no %s", name)
	}
	call := exec.Command("nsenter", "--net", "--target", fmt.Sprint(instance.PID), "--",
		"curl", "--silent", "--fail", "--max-time", "2", "http://"+address+":7000/v2/health/live")
	if out, err := call.CombinedOutput(); err != nil {
		return fmt.Errorf("%s at %s does not answer: %w: %s", name, address, err, out)
	}
	return nil
}

// awaitReaches returns once an instance of the model reaches the other service.
func (n *node) awaitReaches() edge.InstanceView {
	n.t.Helper()
	digits := n.awaitReady("digits", 1)[0]
	n.awaitReady("back", 1)
	n.await("digits to reach back", func(context.Context) error { return reaches(digits, "back") })
	return digits
}

func ownBridges(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("/sys/class/net/hf??????????/bridge")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestNetworks_Survive kills everything in turn: names and ways between the services
// of an app stay, or come back, and at the end nothing of them is left.
func TestNetworks_Survive(t *testing.T) {
	before := ownBridges(t)
	n := newNode(t)
	n.deployNetworked(backService, onNetwork())
	digits := n.awaitReaches()
	n.ask(patient)
	t.Run("NoOtherWay", func(t *testing.T) {
		out, err := exec.Command("nsenter", "--net", "--target", fmt.Sprint(digits.PID), "--", "ip", "route").CombinedOutput()
		if routes := strings.TrimSpace(string(out)); err != nil || strings.Contains(routes, "default") || strings.Count(routes, "\n") != 0 || !strings.HasPrefix(routes, "10.") {
			t.Errorf("got %q, %v, want the one way to its own network", out, err)
		}
	})
	t.Run("AgentKilled", func(t *testing.T) {
		n := n.in(t)
		address := knows(digits, "back")
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		if err := reaches(digits, "back"); err != nil {
			t.Errorf("without the agent: %v", err)
		}
		n.startAgent()
		if again := n.awaitReaches(); again.PID != digits.PID || knows(again, "back") != address {
			t.Errorf("got process %d with back at %s, want %d and %s as before", again.PID, knows(again, "back"), digits.PID, address)
		}
	})
	t.Run("NeighbourKilled", func(t *testing.T) {
		n := n.in(t)
		back := n.awaitReady("back", 1)[0]
		if err := syscall.Kill(int(back.PID), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		n.await("another instance of back", func(ctx context.Context) error {
			view, err := n.workload(ctx, "back")
			if err != nil || !slices.ContainsFunc(view.Instances, func(i edge.InstanceView) bool { return i.Running && i.PID != back.PID }) {
				return fmt.Errorf("it has %+v, %w", view.Instances, err)
			}
			return reaches(digits, "back")
		})
	})
	t.Run("ContainerdKilled", func(t *testing.T) {
		n := n.in(t)
		n.killDaemon()
		if err := reaches(digits, "back"); err != nil {
			t.Errorf("without containerd: %v", err)
		}
		n.restartDaemon()
		if err := n.Client().Restart(t.Context(), "line/back"); err != nil {
			t.Fatal(err)
		}
		n.awaitReaches()
	})
	n.deploy()
	n.await("no bridge", func(context.Context) error {
		if now := ownBridges(t); !slices.Equal(now, before) {
			return fmt.Errorf("there are %v", now)
		}
		return nil
	})
	leases, err := filepath.Glob(filepath.Join(n.RunFolder("net"), n.namespace, "*", "*", "10.*"))
	if err != nil || len(leases) > 0 {
		t.Errorf("addresses are still held: %v, %v", leases, err)
	}
}
