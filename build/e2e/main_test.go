// Package e2e_test tries the whole of holdfast from outside: the real binary as a
// process of its own, on a real containerd, with real and with misbehaving models.
//
// It owns what no room can hold against itself: what a caller sees while the agent
// is killed, containerd dies, a model lies or a thousand clients come at once, and
// that nothing is left behind by any of it.
//
// Every test has a node of its own (an agent with its own folders, namespace and
// cgroup) on the one containerd of the package, and ends by taking its workloads
// away and comparing everything the node holds with what it held before them.
//
// # Concurrency
//
// The tests run one after another: they measure deadlines on few cores.
//
// # Failure
//
// A test that fails prints the end of its agent's log. What an interrupted run
// leaves, the next one takes down.
//
// # Testing
//
// The checks that compare (footprint, the same instances) have tests that they find
// what they look for.
package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/build/image/oci"
	"holdfast/build/stand"
)

// The images of the tests, as their workloads name them.
const (
	digitsImage = "e2e.example/digits:1"
	faultyImage = "e2e.example/faulty:1"
)

// tags are the Makefile's, so that what is tested is what is shipped.
const tags = "grpcnotrace,nethttpomithttp2"

// workshop is what all tests share.
type workshop struct {
	dir   string
	stand *stand.Stand
	nodes atomic.Int64

	mu   sync.Mutex // guards what follows
	runs []string   // the nodes' run folders
}

// remember takes note of a node's run folder, which is to be gone in the end.
func (w *workshop) remember(run string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = append(w.runs, run)
}

var shop = new(workshop)

func (w *workshop) path(name string) string { return filepath.Join(w.dir, name) }
func (w *workshop) binary() string          { return w.path("holdfast") }
func (w *workshop) digits() string          { return w.path("digits.oci.tar") }
func (w *workshop) faulty() string          { return w.path("faulty.oci.tar") }

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	// Building takes seconds when the packages are compiled already, minutes if not.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	soak() // before any agent starts
	if err := sweep(); err != nil {
		return 1, err
	}
	// Short, for the sockets in it, and of this run alone.
	if shop.dir, err = os.MkdirTemp("", folder); err != nil {
		return 1, err
	}
	if shop.stand, err = stand.Start(ctx, stand.Options{Dir: shop.dir}); err != nil {
		return 1, err
	}
	defer func() {
		if failed := shop.close(); failed != nil {
			code, err = 1, errors.Join(err, failed)
		}
	}()
	if err := shop.build(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// close takes everything down and wants nothing of it to be left.
func (w *workshop) close() error {
	if err := w.stand.Close(); err != nil {
		return err
	}
	if left := w.leftovers(); len(left) > 0 {
		return fmt.Errorf("the suite has left:\n%s", strings.Join(left, "\n"))
	}
	return os.RemoveAll(w.dir)
}

// leftovers lists what there is of all nodes together outside their folders.
func (w *workshop) leftovers() []string {
	var left footprint
	left.add("cgroup", cgroupsAt(w.stand.Cgroup())...)
	left.add("mount", mountsAt(w.dir, filepath.Dir(w.stand.Daemon.Socket()))...)
	left.add("process", processes(func(words []string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(word, w.dir) })
	})...)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, run := range w.runs {
		if _, err := os.Stat(run); err == nil {
			left.add("run folder", run)
		}
	}
	return left
}

// folder is the beginning of a run's folder's name.
const folder = "hf-e2e-"

// sweep takes down what interrupted runs left. One that lives holds its folder; one
// that has just begun may not hold it yet, and is left alone by its age.
func sweep() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), folder+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Minute || stand.Clean(dir) != nil {
			continue
		}
		nodes, err := filepath.Glob(filepath.Join(dir, "node-*"))
		if err != nil {
			return err
		}
		for _, node := range nodes {
			if err := stand.Clean(node); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// build makes the agent and the images.
func (w *workshop) build(ctx context.Context) error {
	programs := map[string]string{
		"holdfast": "holdfast", "server": "holdfast/build/sample/server", "faulty-server": "holdfast/build/sample/faulty",
	}
	for name, pkg := range programs {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags,
			"-ldflags", "-s -w -buildid= -X main.version=e2e", "-o", w.path(name), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build %s: %w\n%s", pkg, err, out)
		}
	}
	if err := w.pack(digitsImage, "server", "linux/amd64", w.digits()); err != nil {
		return err
	}
	return w.pack(faultyImage, "faulty-server", "linux/amd64", w.faulty())
}

// pack makes an image archive of one program.
func (w *workshop) pack(name, program, platform, archive string) error {
	index, err := oci.Build(oci.Spec{
		Name: name, Entry: []string{"/" + program}, User: "65532:65532",
		Binaries: map[string]string{platform: w.path(program)},
	})
	if err != nil {
		return err
	}
	_, err = oci.WriteArchive(archive, name, index)
	return err
}
