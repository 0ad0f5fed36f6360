package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"holdfast/build/await"
	"holdfast/build/privated"
	"holdfast/build/sample/serve"
	"holdfast/edge"
	"holdfast/edge/oip"
)

const name = "example.local/holdfast/digits-test:1"

// within bounds how long a container may take to become ready, or to stop. It
// takes a seventh of a second when the machine is idle.
const within = 30 * time.Second

// archive builds the sample server and packs it for this machine.
func archive(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	server, file := filepath.Join(dir, "server"), filepath.Join(dir, "digits.oci.tar")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", server, "../sample/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	args := []string{
		"-name", name, "-entry", "/server", "-mkdir", "/run/model", "-label", "test=yes", "-out", file,
		"-binary", goruntime.GOOS + "/" + goruntime.GOARCH + "=" + server,
	}
	var stdout bytes.Buffer
	if err := run(args, &stdout); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(stdout.String(), name+"@sha256:") {
		t.Errorf("printed %q", stdout.String())
	}
	return file
}

// ctr calls containerd's own tool and returns what it printed.
func ctr(t *testing.T, daemon *privated.Daemon, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), daemon.Tool("ctr"), append([]string{"-a", daemon.Socket(), "-n", "image-test"}, args...)...)
	var stderr strings.Builder // a daemon's warnings come here too
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ctr %s: %v: %s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// daemon starts a containerd of the test's own.
func daemon(t *testing.T) (d *privated.Daemon, cgroup string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf-image-") // a short path: sockets lie under it
	if err != nil {
		t.Fatal(err)
	}
	cgroup = "/" + filepath.Base(dir)
	d, err = privated.Start(t.Context(), privated.Options{Dir: dir, CgroupParent: cgroup})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return d, cgroup
}

// until asks again and again until there is nothing to object.
func until(t *testing.T, what string, objection func(context.Context) error) {
	t.Helper()
	await.Until(t, within, 10*time.Millisecond, what, objection)
}

func TestImage_RunsInContainerd(t *testing.T) {
	d, cgroup := daemon(t)
	ctr(t, d, "images", "import", archive(t))
	if list := ctr(t, d, "images", "list", "-q"); strings.TrimSpace(list) != name {
		t.Fatalf("images %q, want %q", list, name)
	}
	sockets := filepath.Join(t.TempDir(), "model")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(sockets, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	ctr(t, d, "run", "--detach", "--read-only", "--cgroup", cgroup+"/digits",
		"--mount", "type=bind,src="+sockets+",dst=/run/model,options=rbind:rw", name, "digits")
	socket := filepath.Join(sockets, "model.sock")
	until(t, "ready", func(ctx context.Context) error { return serve.Check(ctx, "unix://"+socket) })
	ctr(t, d, "tasks", "exec", "--exec-id", "check", "digits", "/server", "-check")
	for _, model := range []string{"digits", "digits-lite"} {
		if got := ask(t, socket, model, "../../testdata/digits/3.json"); got != 3 {
			t.Errorf("%s takes a held-out 3 for a %v", model, got)
		}
	}
	if status := uids(t, d); status != "65532" {
		t.Errorf("runs as %s", status)
	}
	ctr(t, d, "tasks", "kill", "--signal", "SIGTERM", "digits")
	until(t, "stopped", func(context.Context) error {
		if list := ctr(t, d, "tasks", "list"); !strings.Contains(list, "STOPPED") {
			return fmt.Errorf("tasks %s", list)
		}
		return nil
	})
	ctr(t, d, "tasks", "delete", "digits") // fails with the task's exit code unless that is 0
}

// uids is the effective user of the container's process, from the kernel.
func uids(t *testing.T, d *privated.Daemon) string {
	t.Helper()
	var id, pid string
	list := strings.Split(strings.TrimSpace(ctr(t, d, "tasks", "list")), "\n")
	if _, err := fmt.Sscan(list[len(list)-1], &id, &pid); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "Uid:")
	return strings.Fields(rest)[1]
}

// ask sends a request file to a model and returns the label.
func ask(t *testing.T, socket, model, file string) float32 {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	resp, err := client.Post("http://model/v2/models/"+model+"/infer", "application/json", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := oip.ParseResponse(edge.Payload{Body: body})
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	labels, err := answer.Outputs[0].Float32s()
	if err != nil || len(labels) != 1 {
		t.Fatalf("%s: %v", body, err)
	}
	return labels[0]
}

func TestRun_RefusesArguments(t *testing.T) {
	for label, args := range map[string][]string{
		"Nowhere":    {"-name", name},
		"Stray":      {"-out", "x", "stray"},
		"NoPair":     {"-out", "x", "-binary", "linux/amd64"},
		"Twice":      {"-out", "x", "-label", "a=b", "-label", "a=c"},
		"NoBinaries": {"-out", filepath.Join(t.TempDir(), "x"), "-name", name, "-entry", "/x"},
	} {
		t.Run(label, func(t *testing.T) {
			if err := run(args, io.Discard); err == nil {
				t.Error("was accepted")
			}
		})
	}
	var stdout strings.Builder
	if err := run([]string{"-help"}, &stdout); err != nil || !strings.Contains(stdout.String(), "-binary") {
		t.Errorf("help is %q, %v", stdout.String(), err)
	}
}
