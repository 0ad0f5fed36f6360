package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"holdfast/edge/cli"
)

// holdfast runs the binary to its end, which must come soon.
func holdfast(t testing.TB, arguments ...string) (code int, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), shop.binary(), arguments...)
	var text bytes.Buffer
	cmd.Stderr = &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(within, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), text.String()
}

func TestSecondAgent(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(1))
	before := n.awaitReady("digits", 1)
	cases := map[string]struct {
		set  []string
		want []string
	}{
		"SameState": {
			set:  nil,
			want: []string{"held by another agent", fmt.Sprintf("process %d", n.AgentPID()), "hint: stop the other agent"},
		},
		"SameNamespace": {
			set:  []string{"--set", "paths.state=" + t.TempDir(), "--set", "api.socket=" + n.RunFolder("other.sock"), "--set", "api.listen="},
			want: []string{"cannot claim containerd namespace", fmt.Sprintf("process %d", n.AgentPID()), "hint: stop the other agent"},
		},
		"SameSocket": {
			set:  []string{"--set", "paths.state=" + t.TempDir(), "--set", "containerd.namespace=other", "--set", "api.socket=" + n.Socket()},
			want: []string{"somebody answers there", n.Socket(), "hint: another agent runs"},
		},
		"SamePort": {
			set: []string{
				"--set", "paths.state=" + t.TempDir(), "--set", "containerd.namespace=other",
				"--set", "api.socket=" + n.RunFolder("other.sock"), "--set", "api.listen=" + n.port(),
			},
			want: []string{"address already in use", n.port()},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code, stderr := holdfast(t, append(n.Arguments(), c.set...)...)
			if code != cli.ExitFailed {
				t.Errorf("exit code %d, want %d", code, cli.ExitFailed)
			}
			for _, words := range c.want {
				if !strings.Contains(stderr, words) {
					t.Errorf("it says\n%swant %q", stderr, words)
				}
			}
			n := n.in(t)
			n.ask(patient)
			if err := sameInstances(before, n.awaitReady("digits", 1)); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := os.Stat(n.RunFolder("other.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an agent that did not start left its socket: %v", err)
	}
}
