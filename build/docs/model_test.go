package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/build/docs/pages"
)

// TestOwnModel_Answers starts the server that docs/own-model.md shows, as it stands there, and asks it
// what an agent asks.
func TestOwnModel_Answers(t *testing.T) {
	blocks := pages.Blocks(page(t, "own-model.md"), "python")
	if len(blocks) != 1 {
		t.Fatalf("%d programs are shown", len(blocks))
	}
	ask := serve(t, blocks[0])
	if status, said := ask(http.MethodGet, "/v2/health/ready", ""); status != http.StatusOK {
		t.Errorf("ready: %d %s", status, said)
	}
	var described struct {
		Name   string
		Inputs []struct{ Name, Datatype string }
	}
	if _, said := ask(http.MethodGet, "/v2/models/drift", ""); json.Unmarshal([]byte(said), &described) != nil || described.Name != "drift" || len(described.Inputs) != 1 {
		t.Errorf("it describes itself as %s", said)
	}
	var answer struct {
		ID      string
		Outputs []struct{ Data []float64 }
	}
	_, said := ask(http.MethodPost, "/v2/models/drift/infer", `{"id":"r-1","inputs":[{"name":"readings","datatype":"FP32","shape":[4],"data":[1,1,1,5]}]}`)
	if err := json.Unmarshal([]byte(said), &answer); err != nil || answer.ID != "r-1" || len(answer.Outputs) != 1 || len(answer.Outputs[0].Data) != 4 || answer.Outputs[0].Data[3] < 1.73 {
		t.Errorf("it answers %s", said)
	}
	if status, _ := ask(http.MethodGet, "/v2/models/other", ""); status != http.StatusNotFound {
		t.Errorf("of another model it says %d", status)
	}
}

// serve runs a program that listens at $SOCKET, and ends it by SIGTERM, which has to do.
func serve(t *testing.T, program string) func(method, path, body string) (int, string) {
	t.Helper()
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "server.py"), filepath.Join(dir, "s")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	server := exec.Command("python3", file)
	server.Env, server.Stderr = append(os.Environ(), "SOCKET="+socket), &log
	if err := server.Start(); err != nil {
		t.Fatalf("the model needs python3: build/provision/provision.sh --only test installs it: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := server.Wait(); err != nil {
			t.Errorf("it ends with %v\n%s", err, log.String())
		}
	})
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dial(ctx, socket)
	}}}
	t.Cleanup(client.CloseIdleConnections)
	return func(method, path, body string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "http://model"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		said, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(said)
	}
}

// dial waits until somebody listens.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-ticker.C:
		}
	}
}
