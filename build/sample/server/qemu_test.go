package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/build/sample/serve"
	"holdfast/edge"
	"holdfast/edge/oip"
)

// foreign runs the server's binary for another machine under its emulator and
// returns a handler that asks it.
func foreign(t *testing.T, emulator string, env ...string) http.Handler {
	t.Helper()
	if _, err := exec.LookPath(emulator); err != nil {
		t.Fatalf("%v: apt-get install qemu-user-static", err)
	}
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "server"), filepath.Join(dir, "s")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, ".")
	build.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux"), env...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(emulator, file, "-listen", "unix://"+socket)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // its exit code is what matters
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s server ended with %v", emulator, err)
		}
	})
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if strings.Contains(lines.Text(), "ready") {
			return &remote{t: t, socket: socket}
		}
	}
	t.Fatalf("%s server ended without listening", emulator)
	return nil
}

// remote hands requests to a server on a socket.
type remote struct {
	t      *testing.T
	socket string
}

var _ http.Handler = (*remote)(nil)

func (r *remote) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.socket)
	}}}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := http.NewRequestWithContext(req.Context(), req.Method, "http://model"+req.URL.Path, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	out.Header = req.Header
	resp, err := client.Do(out)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		r.t.Fatal(err)
	}
}

func TestServer_AnswersAlikeEverywhere(t *testing.T) {
	native, batch := models(t), heldOut(t)[:16]
	for name, machine := range map[string]struct {
		emulator string
		env      []string
	}{
		"arm64": {"qemu-aarch64-static", []string{"GOARCH=arm64"}},
		"armv7": {"qemu-arm-static", []string{"GOARCH=arm", "GOARM=7"}},
	} {
		t.Run(name, func(t *testing.T) {
			other := foreign(t, machine.emulator, machine.env...)
			for _, model := range []string{"digits", "digits-lite"} {
				wantLabels, wantScores := answers(t, native, model, batch)
				gotLabels, gotScores := answers(t, other, model, batch)
				for i, got := range gotLabels {
					if got != wantLabels[i] {
						t.Errorf("%s: picture %d is %v here and %v there", model, i, wantLabels[i], got)
					}
				}
				// Fused multiply-adds round once where amd64 rounds twice; what that
				// makes of a score of size one lies a hundred times below this.
				for i, got := range gotScores {
					if math.Abs(float64(got-wantScores[i])) > 1e-3 {
						t.Errorf("%s: score %d is %v here and %v there", model, i, wantScores[i], got)
					}
				}
			}
		})
	}
}

// answers asks for labels and scores.
func answers(t *testing.T, handler http.Handler, model string, batch []sample) (labels, scores []float32) {
	t.Helper()
	w := post(handler, "/v2/models/"+model+"/infer", request(t, batch, false))
	resp, err := oip.ParseResponse(edge.Payload{Body: w.Body.Bytes()})
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %v: %s", w.Code, err, w.Body)
	}
	for i, into := range []*[]float32{&labels, &scores} {
		if *into, err = resp.Outputs[i].Float32s(); err != nil {
			t.Fatal(err)
		}
	}
	if len(labels) != len(batch) || len(scores) != 10*len(batch) {
		t.Fatalf("%d labels and %d scores for %d pictures", len(labels), len(scores), len(batch))
	}
	return labels, scores
}

func TestServeModels_EndsInOrder(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	reader, writer := io.Pipe()
	go func() { ended <- serveModels(ctx, slog.New(slog.NewTextHandler(writer, nil)), "unix://"+socket) }()
	if line, err := bufio.NewReader(reader).ReadString('\n'); err != nil || !strings.Contains(line, "ready") {
		t.Fatalf("%q, %v", line, err)
	}
	if err := serve.Check(t.Context(), "unix://"+socket); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}
