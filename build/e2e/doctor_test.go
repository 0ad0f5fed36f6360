package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/build/stand"
	"holdfast/edge"
	"holdfast/edge/agent"
	"holdfast/edge/cli"
	"holdfast/edge/host"
)

// repairWithin is how long a node may take from the repair to the same digests running.
const repairWithin = time.Minute

// damageRounds are the damages of an ordinary run; HOLDFAST_SOAK=10 makes them a hundred.
const damageRounds = 10

// clinic is a governed node with a containerd of its own, which may be broken.
type clinic struct {
	*node
	root string // containerd's
}

func openClinic(t *testing.T) *clinic {
	t.Helper()
	number := shop.nodes.Add(1)
	dir := shop.path(fmt.Sprintf("clinic-%d", number))
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	s, err := stand.Start(ctx, stand.Options{
		Dir: dir, Binary: shop.binary(), Config: filepath.Join(dir, "config.yaml"), Listen: "127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, namespace: "holdfast", Stand: s}
	shop.remember(n.RunFolder(""))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the agent's log:\n%s\nand of containerd's:\n%s", tail(n.AgentLog()), tail(s.Daemon.LogPath()))
		}
		if err := n.Close(); err != nil {
			t.Errorf("close node: %v", err)
		}
	})
	n.configure("")
	n.startAgent()
	n.importImage(shop.digits())
	n.begin(digitsService(2))
	return &clinic{node: n, root: filepath.Join(dir, "containerd", "root")}
}

func (c *clinic) metadata() string {
	return filepath.Join(c.root, "io.containerd.metadata.v1.bolt", "meta.db")
}

func (c *clinic) snapshots() string {
	return filepath.Join(c.root, "io.containerd.snapshotter.v1.overlayfs", "metadata.db")
}

// doctor examines the node from outside.
func (c *clinic) doctor(arguments ...string) said {
	c.t.Helper()
	all := append([]string{"doctor"}, c.Arguments()[1:]...)
	all = append(all, "--containerd-config", filepath.Join(filepath.Dir(c.root), "containerd.toml"), "-o", "json")
	return run(c.t, append(all, arguments...)...)
}

func of(t testing.TB, code string, findings []host.Finding) host.Finding {
	t.Helper()
	for _, f := range findings {
		if f.Code == code {
			return f
		}
	}
	t.Fatalf("there is no finding %s", code)
	return host.Finding{}
}

// repaired is what `holdfast doctor --repair` prints.
type repaired struct {
	Before, After []host.Finding
	Repair        []agent.Mending
}

// repair has the doctor repair the node while containerd is down.
func (c *clinic) repair() repaired {
	c.t.Helper()
	got := c.doctor("--repair")
	var r repaired
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		c.t.Fatalf("%v\n%s%s", err, got.stdout, got.stderr)
	}
	if f := of(c.t, "containerd-metadata", r.After); f.Level != host.LevelOK {
		c.t.Fatalf("after the repair: %+v\n%+v", f, r.Repair)
	}
	return r
}

// same wants so many instances of the digest, each once, and that they answer.
func (c *clinic) same(digest string, replicas int) {
	c.t.Helper()
	c.await("the same digests to run", func(ctx context.Context) error {
		view, err := c.workload(ctx, "digits")
		if err != nil {
			return err
		}
		var pids []uint32
		for _, i := range view.Instances {
			if i.Digest != digest || i.State != "ready" {
				return fmt.Errorf("instance %s of %s is %s: %s", i.ID, i.Digest, i.State, i.Detail)
			}
			pids = append(pids, i.PID)
		}
		if len(pids) != replicas {
			return fmt.Errorf("%d instances", len(pids))
		}
		shims := processes(func(words []string) bool {
			return strings.Contains(words[0], "containerd-shim") && slices.Contains(words, c.Daemon.Socket())
		})
		if len(shims) != replicas {
			return fmt.Errorf("%d shims hold %d instances", len(shims), replicas)
		}
		return nil
	})
	c.ask(patient)
}

// harm is a way to damage a file.
type harm struct {
	name string
	do   func(*rand.Rand, []byte) []byte
}

const pageSize = 4096

func page(r *rand.Rand, text []byte) []byte {
	at := r.IntN(max(len(text)/pageSize, 1)) * pageSize
	return text[at:min(at+pageSize, len(text))]
}

// harms are the ways in which files came back from flash, and worse ones.
var harms = [...]harm{
	{"flips", func(r *rand.Rand, text []byte) []byte {
		for range 1 + r.IntN(512) {
			text[r.IntN(len(text))] ^= 1 << r.IntN(8)
		}
		return text
	}},
	{"truncation", func(r *rand.Rand, text []byte) []byte { return text[:r.IntN(len(text)/3)] }},
	{"zero pages", func(r *rand.Rand, text []byte) []byte {
		for range 1 + r.IntN(16) {
			clear(page(r, text))
		}
		return text
	}},
	{"garbage", func(r *rand.Rand, text []byte) []byte {
		for range 1 + r.IntN(8) {
			part := page(r, text)
			for i := range part {
				part[i] = byte(r.Uint32())
			}
		}
		return text
	}},
	{"torn", func(r *rand.Rand, text []byte) []byte { // one page has another's content
		for range 1 + r.IntN(16) {
			copy(page(r, text), page(r, text))
		}
		return text
	}},
	{"first pages", func(_ *rand.Rand, text []byte) []byte { // both of which say where all else is
		clear(text[:2*pageSize])
		return text
	}},
	{"nothing left", func(*rand.Rand, []byte) []byte { return nil }},
	{"one flip", func(r *rand.Rand, text []byte) []byte {
		text[r.IntN(len(text))] ^= 1 << r.IntN(8)
		return text
	}},
}

// damage harms a file as the round says.
func (c *clinic) damage(round int, path string) string {
	c.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(uint64(round), uint64(len(path))))
	how := harms[round%len(harms)]
	if err := os.WriteFile(path, how.do(r, text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return how.name
}

// TestDoctor_Metadata damages what a stopped containerd has of its own, again and again,
// and has the doctor bring it back: the same digests run again, each as often as before.
func TestDoctor_Metadata(t *testing.T) {
	t.Parallel()
	c := openClinic(t)
	digest := c.awaitReady("digits", 2)[0].Digest
	var slowest time.Duration
	rebuilt := 0
	for round := range damageRounds * soak() {
		if err := c.Daemon.Kill(); err != nil {
			t.Fatal(err)
		}
		what := ""
		if round%5 != 4 {
			what = "metadata: " + c.damage(round, c.metadata())
		}
		if round%5 >= 3 {
			what += " snapshots: " + c.damage(round+1, c.snapshots())
		}
		agentDown := round%4 == 3
		if agentDown {
			if err := c.KillAgent(); err != nil {
				t.Fatal(err)
			}
		}
		started := time.Now()
		r := c.repair()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		if err := c.Daemon.Restart(ctx); err != nil {
			cancel()
			t.Fatalf("round %d, %s: %v\n%+v", round, what, err, r.Repair)
		}
		cancel()
		if agentDown {
			c.startAgent()
		}
		c.same(digest, 2)
		took := time.Since(started)
		slowest = max(slowest, took)
		was := of(t, "containerd-metadata", r.Before)
		if was.Level == host.LevelFail {
			rebuilt++
		}
		t.Logf("round %d: %s: %s, the same digests run after %v", round, what, was.Detail, took.Round(time.Millisecond))
		if took > repairWithin {
			t.Errorf("round %d: got %v until the same digests ran, want at most %v", round, took, repairWithin)
		}
	}
	t.Logf("%d of %d damages called for new metadata; slowest %v", rebuilt, damageRounds*soak(), slowest)
	if rebuilt < damageRounds*soak()/2 {
		t.Errorf("got only %d damages that were found, of %d", rebuilt, damageRounds*soak())
	}
}

// TestDoctor_Content has content rot together with the metadata: the image comes from the
// folder that came with the node.
func TestDoctor_Content(t *testing.T) {
	c := openClinic(t)
	digest := c.awaitReady("digits", 2)[0].Digest
	stock := filepath.Join(c.StateFolder(), "images")
	if err := errors.Join(os.MkdirAll(stock, 0o755), os.Link(shop.digits(), filepath.Join(stock, "digits.tar")), c.Daemon.Kill()); err != nil {
		t.Fatal(err)
	}
	c.damage(5, c.metadata())
	blobs, err := filepath.Glob(filepath.Join(c.root, "io.containerd.content.v1.content/blobs/sha256/*"))
	if err != nil || len(blobs) < 3 {
		t.Fatalf("got %d blobs, %v", len(blobs), err)
	}
	for i, blob := range blobs {
		if i%2 == 0 {
			c.damage(7, blob)
		}
	}
	r := c.repair()
	if text := fmt.Sprint(r.Repair); !strings.Contains(text, digest+" is not whole on disk") || !strings.Contains(text, "whose content was something else") {
		t.Errorf("got %s, want the lost image and the rotten content named", text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := c.Daemon.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	c.same(digest, 2)
}

// untouched wants the very instances that ran before.
func (c *clinic) untouched(before []edge.InstanceView) {
	c.t.Helper()
	if err := sameInstances(before, c.awaitReady("digits", len(before))); err != nil {
		c.t.Error(err)
	}
}

// TestDoctor_Careful has the doctor keep its hands off what is well, and off what somebody
// has open.
func TestDoctor_Careful(t *testing.T) {
	c := openClinic(t)
	before := c.awaitReady("digits", 2)
	t.Run("Running", func(t *testing.T) {
		got := c.doctor("--repair")
		if strings.Contains(got.stdout, "ended instance") {
			t.Errorf("got %s, want nothing touched", got.stdout)
		}
		c.untouched(before)
	})
	t.Run("StoppedAndWhole", func(t *testing.T) {
		if err := c.Daemon.Kill(); err != nil {
			t.Fatal(err)
		}
		r := c.repair()
		if f := of(t, "containerd-metadata", r.Before); f.Level != host.LevelOK {
			t.Errorf("got %+v of sound metadata", f)
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		if err := c.Daemon.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		c.same(before[0].Digest, 2)
		c.untouched(before)
	})
	t.Run("ExaminesOnly", func(t *testing.T) {
		if err := c.Daemon.Kill(); err != nil {
			t.Fatal(err)
		}
		c.damage(5, c.metadata())
		text, err := os.ReadFile(c.metadata())
		if err != nil {
			t.Fatal(err)
		}
		got := c.doctor()
		got.want(t, cli.ExitFailed)
		if !strings.Contains(got.stdout, "holdfast doctor --repair") {
			t.Errorf("got %s, want the remedy", got.stdout)
		}
		if now, err := os.ReadFile(c.metadata()); err != nil || string(now) != string(text) {
			t.Errorf("an examination changed the metadata, %v", err)
		}
		c.repair()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		if err := c.Daemon.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		c.same(before[0].Digest, 2)
	})
}
