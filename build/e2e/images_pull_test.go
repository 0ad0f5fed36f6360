package e2e_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/cli"
)

// registry serves the images of archives on the loopback, as slowly as it is told to,
// and counts what it sends.
type registry struct {
	*httptest.Server
	blobs map[string][]byte

	mu    sync.Mutex // guards what follows
	rate  int64      // bytes a second of each answer; 0: as fast as they are taken
	sent  int64
	asked int
}

func newRegistry(t testing.TB) *registry {
	t.Helper()
	r := &registry{blobs: map[string][]byte{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// push takes an archive in and returns the reference of its image.
func (r *registry) push(t testing.TB, archive []byte) string {
	t.Helper()
	var index struct{ Manifests []struct{ Digest string } }
	files := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		if path.Dir(header.Name) == "blobs/sha256" {
			r.store("sha256:"+path.Base(header.Name), content)
		}
		if header.Name == "index.json" {
			if err := json.Unmarshal(content, &index); err != nil {
				t.Fatal(err)
			}
		}
	}
	return strings.TrimPrefix(r.URL, "http://") + "/line/app@" + index.Manifests[0].Digest
}

func (r *registry) store(digest string, content []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[digest] = content
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	content, known := r.blobs[path.Base(req.URL.Path)]
	r.asked++
	rate := r.rate
	r.mu.Unlock()
	if !known {
		http.NotFound(w, req)
		return
	}
	var from int
	if _, err := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	r.send(req.Context(), w, content[from:], rate)
}

// send writes content at a rate, and counts it.
func (r *registry) send(ctx context.Context, w http.ResponseWriter, content []byte, rate int64) {
	const part = 16 << 10
	for len(content) > 0 && ctx.Err() == nil {
		n, err := w.Write(content[:min(part, len(content))])
		if err != nil {
			return
		}
		content = content[n:]
		r.mu.Lock()
		r.sent += int64(n)
		r.mu.Unlock()
		if rate > 0 {
			_ = http.NewResponseController(w).Flush()
			pause(ctx, time.Duration(n)*time.Second/time.Duration(rate))
		}
	}
}

// pause lets a while pass, for what is slow on purpose.
func pause(ctx context.Context, long time.Duration) {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// slow sets the rate.
func (r *registry) slow(rate int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rate = rate
}

// told is what was sent, and how often something was asked for.
func (r *registry) told() (sent int64, asked int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent, r.asked
}

func (r *registry) size() (size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, content := range r.blobs {
		size += int64(len(content))
	}
	return size
}

// ballast is a program of the shop with so many bytes behind it that do not compress.
func (n *node) ballast(name string, size int) []byte {
	n.t.Helper()
	program, err := os.ReadFile(shop.path("server"))
	if err != nil {
		n.t.Fatal(err)
	}
	noise := make([]byte, size)
	_, _ = rand.Read(noise) // never fails
	if err := os.WriteFile(shop.path(name), append(program, noise...), 0o755); err != nil {
		n.t.Fatal(err)
	}
	return n.archive("e2e.example/"+name+":1", name, "linux/amd64")
}

// TestImages_PullKilled kills the agent by SIGKILL in the middle of a layer, again and
// again, and wants what came before each to be kept.
func TestImages_PullKilled(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	r := newRegistry(t)
	ref := r.push(t, n.ballast("ballast", 24<<20))
	const rate = 16 << 20
	r.slow(rate)
	const kills = 3
	for i := int64(1); i <= kills; i++ {
		pull := exec.CommandContext(t.Context(), shop.binary(), "--address", n.Socket(), "images", "pull", ref)
		if err := pull.Start(); err != nil {
			t.Fatal(err)
		}
		n.await("the registry to have sent some", func(context.Context) error {
			if sent, _ := r.told(); sent < i*r.size()/(kills+1) {
				return fmt.Errorf("it has sent %d bytes of %d", sent, r.size())
			}
			return nil
		})
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		if err := pull.Wait(); err == nil {
			t.Error("the command ended well though the agent was killed")
		}
		n.startAgent()
	}
	r.slow(0)
	n.verb("images", "pull", ref).want(t, cli.ExitOK, "sha256:")
	sent, asked := r.told()
	t.Logf("an image of %d bytes took %d from the registry over %d kills: %d twice (%.2f %%)",
		r.size(), sent, kills, sent-r.size(), 100*float64(sent-r.size())/float64(r.size()))
	// What the registry has sent and the daemon not stored: what lies in sockets between.
	if most := int64(kills * (5 << 20)); sent > r.size()+most {
		t.Errorf("got %d bytes sent of an image of %d, want at most %d twice", sent, r.size(), most)
	}
	n.verb("images", "pull", ref).want(t, cli.ExitOK, "already")
	if _, again := r.told(); again != asked {
		t.Error("the registry was asked for what the node has")
	}
	_, sum, _ := strings.Cut(ref, "@")
	n.prune(sum)
}

// TestImages_PolicyFetches brings a policy whose image is in a registry and nowhere else.
func TestImages_PolicyFetches(t *testing.T) {
	t.Parallel()
	n := newNode(t, "policy.trial=1s")
	n.begin()
	r := newRegistry(t)
	archive := n.ballast("fetched", 1<<20)
	ref := r.push(t, archive)
	service := strings.Replace(digitsService(1), digitsImage, ref, 1)
	service = strings.Replace(service, "/server", "/fetched", 1)
	since := n.latest()
	n.apply(n.desk.sign(draft{version: 2, services: []string{service}})).want(t, cli.ExitOK)
	if got := n.imported(since); len(got) != 1 || !strings.HasPrefix(got[0], "policy ") {
		t.Errorf("got %q imported, want one image for the policy", got)
	}
	n.awaitReady("digits", 1)
	n.ask(patient)
	n.awaitProven(2) // only then it is what a rollback goes to
	t.Run("RegistryAway", func(t *testing.T) {
		n := n.in(t)
		other := newRegistry(t)
		ref := other.push(t, n.ballast("unfetched", 1<<20))
		other.Close()
		service := strings.Replace(digitsService(1), digitsImage, ref, 1)
		n.apply(n.desk.sign(draft{version: 3, services: []string{service}})).want(t, cli.ExitFailed, "has no image", "registry", "refused")
		n.wantPolicy(2, "current")
	})
	n.apply(n.desk.sign(draft{version: 4})).want(t, cli.ExitOK)
	n.await("the instance to be gone", func(context.Context) error {
		if left := n.tasks("line-digits-"); len(left) > 0 {
			return fmt.Errorf("containerd runs %v", left)
		}
		return nil
	})
	_, sum, _ := strings.Cut(ref, "@")
	n.verb("images", "prune").want(t, cli.ExitOK, "1 image needed") // a rollback may need it
	if held := n.ctr("content", "list", "--quiet"); !strings.Contains(held, sum) {
		t.Errorf("the image of the policy before is gone; there are: %s", held)
	}
	n.awaitProven(4)
	n.apply(n.desk.sign(draft{version: 5})).want(t, cli.ExitOK)
	n.prune(sum)
}

// prune removes what nothing needs, an image among it, and has the images again that
// every node has.
func (n *node) prune(gone string) {
	n.t.Helper()
	n.verb("images", "prune").want(n.t, cli.ExitOK, "freed")
	for _, kind := range []string{"content", "images"} {
		if left := n.ctr(kind, "list", "--quiet"); strings.Contains(left, gone) {
			n.t.Errorf("pruned, and there still: %s", left)
		}
	}
	n.importImage(shop.digits())
	n.importImage(shop.faulty())
}

// TestImages_DiskFills fills the disk under state and images step by step.
func TestImages_DiskFills(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(1))
	before := n.awaitReady("digits", 1)
	const total = 200 << 20 // of which 10 MiB are kept
	n.stopAgent()
	if err := n.SmallDisk(total); err != nil {
		t.Fatal(err)
	}
	n.startAgent()
	n.awaitReady("digits", 1)
	fill := func(left int64) {
		t.Helper()
		var stat syscall.Statfs_t
		if err := syscall.Statfs(n.StateFolder(), &stat); err != nil {
			t.Fatal(err)
		}
		size := int64(stat.Bavail*uint64(stat.Bsize)) - left
		if err := os.WriteFile(filepath.Join(n.StateFolder(), "filler"), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill(6 << 20)
	archive := n.ballast("late", 1<<20)
	err := n.Import(t.Context(), n.write("late.tar", string(archive)))
	if !errors.Is(err, edge.ErrNoRoom) || !strings.Contains(edge.HintOf(err), "make room") {
		t.Errorf("got %v with hint %q, want %v", err, edge.HintOf(err), edge.ErrNoRoom)
	}
	t.Log(err)
	warning := n.awaitWarning("disk-short", "kept")
	if !strings.Contains(warning.Remedy, "make room") {
		t.Errorf("the remedy is %q", warning.Remedy)
	}
	n.ask(patient)
	if err := os.Remove(filepath.Join(n.StateFolder(), "filler")); err != nil {
		t.Fatal(err)
	}
	n.importImage(n.write("late.tar", string(archive)))
	n.wantAdopted(before)
	n.stopAgent()
	if err := n.Uncover(); err != nil {
		t.Fatal(err)
	}
	n.startAgent()
	n.prune("e2e.example/late:1")
}
