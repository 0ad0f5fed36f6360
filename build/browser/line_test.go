package browser_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/build/image/oci"
	"holdfast/build/stand"
)

// digitsImage is the sample model's, as the line names it.
const digitsImage = "page.example/digits:1"

// lineToken is what actions on the line need.
const lineToken = "a-token-of-this-line"

// compose are the line's workloads.
const compose = `name: line
services:
  digits:
    image: ` + digitsImage + `
    deploy: {replicas: 2, resources: {limits: {cpus: "1", memory: 64M, pids: 32}}}
    x-holdfast: {model: digits, endpoint: "unix:///run/model/model.sock", cost: 5ms}
`

// line is a whole node: a private containerd, the real agent and a real model.
type line struct {
	t       testing.TB
	stand   *stand.Stand
	dir     string
	address string
}

// startLine brings a line up. Its folder is always the same, so that what an interrupted
// run has left is taken down.
func startLine(t testing.TB, binary, server string) (*line, error) {
	t.Helper()
	l := &line{t: t, dir: filepath.Join(os.TempDir(), "holdfast-browser"), address: freePort(t)}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := stand.Clean(l.dir); err != nil {
		return nil, fmt.Errorf("cannot clean up after an earlier run: %w", err)
	}
	at := func(name string) string { return filepath.Join(l.dir, name) }
	for name, text := range map[string]string{"token": lineToken, "compose.yaml": compose} {
		if err := write(at(name), text); err != nil {
			return nil, err
		}
	}
	if err := pack(server, at("digits.oci.tar")); err != nil {
		return nil, err
	}
	var err error
	l.stand, err = stand.Start(ctx, stand.Options{Dir: l.dir, Binary: binary, Compose: at("compose.yaml"), Listen: l.address, Set: []string{
		"node.name=line-3-gw", "api.tokenFile=" + at("token"), "policy.root=" + at("no-root.json"), "policy.factory=" + at("no-factory.json"),
	}})
	if err != nil {
		return nil, fmt.Errorf("cannot start containerd: %w", err)
	}
	if err := l.stand.StartAgent(ctx); err != nil {
		return l, fmt.Errorf("cannot start agent: %w", err)
	}
	if err := l.stand.Import(ctx, at("digits.oci.tar")); err != nil {
		return l, fmt.Errorf("cannot import image: %w", err)
	}
	return l, l.stand.AwaitInstances(ctx)
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

// pack makes an image of the sample server.
func pack(server, archive string) error {
	index, err := oci.Build(oci.Spec{Name: digitsImage, Entry: []string{"/server"}, User: "65532:65532", Binaries: map[string]string{"linux/amd64": server}})
	if err == nil {
		_, err = oci.WriteArchive(archive, digitsImage, index)
	}
	return err
}

func (l *line) url() string { return "http://" + l.address }

func (l *line) do(verb string) (any, error) { return nil, fmt.Errorf("a line has no knob %q", verb) }

// close takes the line down, and everything that ran on it.
func (l *line) close() {
	if err := l.stand.Close(); err != nil {
		l.t.Errorf("cannot take the line down: %v", err)
	}
	if err := os.RemoveAll(l.dir); err != nil {
		l.t.Error(err)
	}
}
