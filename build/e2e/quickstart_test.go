package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/build/docs/pages"
	"holdfast/build/privated"
)

// bare is a machine of its own for commands that name the folders, the port and the service
// of a real one: mounts, network and processes are apart, and containerd is empty. What
// stands for systemd starts the agent and waits until it answers.
const bare = `
set -eu
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
cp -a /etc "$SCRATCH/etc"
mount --bind "$SCRATCH/etc" /etc
rm -rf /etc/holdfast
mkdir -p /run/containerd /var/lib/holdfast
ip link set lo up
containerd >"$SCRATCH/containerd.log" 2>&1 &
systemctl() {
	if [ -n "${agent-}" ]; then kill "$agent"; wait "$agent" || true; fi
	holdfast run >>"$SCRATCH/agent.log" 2>&1 &
	agent=$!
	timeout 20 sh -c 'until curl -sf --unix-socket /run/holdfast/holdfast.sock http://node/v1/status >/dev/null; do sleep .05; done'
}
timeout 20 sh -c 'until ctr version >/dev/null 2>&1; do sleep .05; done'
set -x
`

// typed runs what pages tell a person to type, one page after the other.
func typed(t *testing.T, script string) (said string, err error) {
	t.Helper()
	dir := t.TempDir()
	checkout(t, dir)
	tools := os.Getenv(privated.ToolsVariable)
	if tools == "" {
		var err error
		if tools, err = filepath.Abs("../../.tools/bin"); err != nil {
			t.Fatal(err)
		}
	}
	cgroup := fmt.Sprintf("/hf-typed-%d", os.Getpid())
	t.Cleanup(func() { removeCgroups(t, cgroup) })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	machine := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", bare+script)
	machine.Dir = filepath.Join(dir, "checkout")
	machine.Env = append(os.Environ(),
		"SCRATCH="+dir, "PATH="+filepath.Join(dir, "bin")+":"+tools+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOLDFAST_CONTAINERD_CGROUP_PARENT="+cgroup, "HOLDFAST_POLICY_TRIAL=3s")
	out, err := machine.CombinedOutput()
	if log, failed := os.ReadFile(filepath.Join(dir, "agent.log")); failed == nil && err != nil {
		out = append(out, log...)
	}
	return string(out), err
}

// checkout is as much of one as the pages use, built.
func checkout(t *testing.T, dir string) {
	t.Helper()
	images := filepath.Join(dir, "checkout", "dist", "images")
	for _, folder := range []string{images, filepath.Join(dir, "bin")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", shop.path("tool"), "holdfast/build/sample/tool")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build tool: %v\n%s", err, out)
	}
	samples, err := filepath.Abs("../../testdata")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		shop.pack("holdfast.example/digits:1", "server", "linux/amd64", filepath.Join(images, "digits.oci.tar")),
		shop.pack("holdfast.example/tool:1", "tool", "linux/amd64", filepath.Join(images, "tool.oci.tar")),
		os.Symlink(samples, filepath.Join(dir, "checkout", "testdata")),
		os.Symlink(shop.binary(), filepath.Join(dir, "bin", "holdfast")),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// removeCgroups takes away what instances that are gone stood under.
func removeCgroups(t *testing.T, cgroup string) {
	t.Helper()
	var all []string
	for _, pattern := range []string{"/sys/fs/cgroup" + cgroup, "/sys/fs/cgroup/*" + cgroup} {
		tops, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, top := range tops {
			err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					all = append(all, path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	for _, path := range slices.Backward(all) {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// commands are those of a page, without those that get programs from elsewhere.
func commands(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, block := range pages.Blocks(string(text), "sh") {
		for line := range strings.Lines(block) {
			if !strings.HasPrefix(line, "apt-get ") && !strings.HasPrefix(line, "make ") {
				script.WriteString(line)
			}
		}
	}
	return script.String()
}

// TestPages_CommandsWork types the quickstart and the page on writing a policy.
func TestPages_CommandsWork(t *testing.T) {
	said, err := typed(t, commands(t, "quickstart.md")+commands(t, "writing-a-policy.md"))
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for _, want := range []string{
		"configuration is valid", `{"name":"digits","ready":true}`, "[7]", `"data":[3]`, "\nexit code 4\n",
		"policy first version 1 is in force", "unknown_key: signed by no key of the root document", "policy first version 2 is in force",
		"tenants.camera.memroy: unknown key; did you mean memory?", "policy line-3 version 10 is in force",
		"denied: tenants._default.classes of policy line-3 version 10 does not name urgent",
		"policy version 11 failed to apply and was taken back, version 10 is in force", "policy line-3 version 10 (previous)",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing says %q in\n%s", want, said)
		}
	}
}

// TestPages_NoticeWhatFails: a command that does not work is not passed over.
func TestPages_NoticeWhatFails(t *testing.T) {
	said, err := typed(t, "holdfast config check --config no-such-file.yaml\necho went on\n")
	if err == nil || !strings.Contains(said, "no-such-file.yaml") || strings.Contains(said, "\nwent on\n") {
		t.Errorf("%v\n%s", err, said)
	}
}
