package commands_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/trust"
	"holdfast/mqtt/commands"
	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
)

// execEnv names the emulator this binary is run with, as go test -exec does, where the
// kernel cannot start it by itself.
const execEnv = "HOLDFAST_EXEC"

// checkVerb makes this test binary the child process that checks a database.
const checkVerb = "check-database"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == checkVerb {
		os.Exit(boltfile.CheckMain(map[string]boltfile.Layout{"link": journal.Layout()}, os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

func child(ctx context.Context, path string) *exec.Cmd {
	args := append(strings.Fields(os.Getenv(execEnv)), os.Args[0], checkVerb, "link", path)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // under -race it would linger a second
	return cmd
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fleet signs commands with two keys. No document of the world is signed with them.
type fleet struct {
	testing.TB
	root *trust.Root
	keys []ed25519.PrivateKey
	ids  []string
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{TB: t}
	var keys []trust.Key
	for seed := byte(1); seed <= 2; seed++ {
		private := ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), seed))
		key, err := trust.KeyOf(private)
		must(t, err)
		keys, f.keys, f.ids = append(keys, key), append(f.keys, private), append(f.ids, key.ID)
	}
	root, err := trust.NewRoot(1, keys, map[trust.Role]trust.Grant{
		trust.RoleRoot:    {KeyIDs: f.ids[:1], Threshold: 1},
		trust.RoleCommand: {KeyIDs: f.ids, Threshold: 1},
	})
	must(t, err)
	f.root = root
	return f
}

// order is a command for this node.
func (f *fleet) order(id string, counter uint64, verb edge.Verb) edge.Command {
	return edge.Command{
		ID: id, Issuer: f.ids[0], Counter: counter, Audience: edge.Audience{Node: "gw-7"},
		Expires: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), MaxBoots: 900, Verb: verb,
	}
}

// sign has a command signed by as many as its verb needs.
func (f *fleet) sign(c edge.Command) []byte {
	f.Helper()
	payload, err := trust.EncodeCommand(c)
	must(f, err)
	first := slices.Index(f.ids, c.Issuer)
	keys := []ed25519.PrivateKey{f.keys[first], f.keys[1-first]}[:edge.Verbs()[c.Verb].Signatures]
	envelope, err := trust.Sign(trust.TypeCommand, payload, keys...)
	must(f, err)
	return envelope
}

// desk hears what is told without a promise, and what was refused.
type desk struct {
	mu      sync.Mutex
	told    []edge.Reply
	refused []string
}

func (d *desk) tell(r edge.Reply) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, r)
}

func (d *desk) refuse(reason, _, _ string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = append(d.refused, reason)
}

// take gives what was told since, each as "id stage reason".
func (d *desk) take() (list []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.told {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Command, r.Stage, r.Reason)))
	}
	d.told = nil
	return list
}

// node is a runner over a real journal, with effects that the test decides about.
type node struct {
	testing.TB
	*desk
	journal *journal.Journal
	runner  *commands.Runner
	options commands.Options

	mu      sync.Mutex
	began   []string                                  // ids, as effects began
	do      func(context.Context, edge.Command) error // nil: succeeds at once
	result  func(edge.Command) json.RawMessage        // nil: none
	far     func(edge.Command, func(edge.Progress))   // nil: no progress
	expired func(time.Time) bool                      // nil: nothing
	policy  uint64
	ended   bool
	stop    func()
}

func stamp(r *outbox.Record) { r.Mono, r.Quality = time.Minute, "none" }

// start makes a node of what lies in a folder. Its fields may be set before run.
func start(t testing.TB, f *fleet, dir, boot string) *node {
	t.Helper()
	j, err := journal.New(journal.Options{Path: filepath.Join(dir, "link.db"), Boot: boot, Child: child, Stamp: stamp})
	must(t, err)
	must(t, j.Open(t.Context()))
	n := &node{TB: t, desk: &desk{}, journal: j, stop: func() {}}
	n.options = commands.Options{
		Node: edge.Identity{Node: "gw-7"}, Root: func() *trust.Root { return f.root }, Journal: j, Do: n.effect,
		Expired:  func(at time.Time) bool { return n.expired != nil && n.expired(at) },
		Policy:   func() (uint64, bool) { return n.policy, n.ended },
		Progress: n.tell, Refused: n.refuse,
	}
	n.runner, err = commands.New(n.options)
	must(t, err)
	return n
}

func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.runner.Run(ctx) }()
	n.stop = func() {
		cancel()
		must(n, <-ended)
		n.stop = func() {}
	}
}

func (n *node) close() {
	n.stop()
	must(n, n.journal.Close())
}

func (n *node) effect(ctx context.Context, c edge.Command, progress func(edge.Progress)) (json.RawMessage, error) {
	n.mu.Lock()
	n.began = append(n.began, c.ID)
	n.mu.Unlock()
	if n.far != nil {
		n.far(c, progress)
	}
	var result json.RawMessage
	if n.result != nil {
		result = n.result(c)
	}
	if n.do != nil {
		return result, n.do(ctx, c)
	}
	return result, nil
}

func (n *node) effects() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.began)
}

func (n *node) accept(envelope []byte) {
	n.Helper()
	must(n, n.runner.Accept(n.Context(), envelope))
}

// said is the stream, each as "id stage reason".
func (n *node) said() (list []string) {
	n.Helper()
	for _, r := range n.replies() {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Command, r.Stage, r.Reason)))
	}
	return list
}

func (n *node) replies() (list []edge.Reply) {
	n.Helper()
	batch, err := n.journal.Read(outbox.Position{}, 1<<20)
	must(n, err)
	for _, e := range batch.Entries {
		var r edge.Reply
		must(n, json.Unmarshal(e.Body, &r))
		list = append(list, r)
	}
	return list
}

// final is the last reply to a command.
func (n *node) final(id string) (last edge.Reply) {
	n.Helper()
	for _, r := range n.replies() {
		if r.Command == id {
			last = r
		}
	}
	return last
}

func want(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s = %q, want %q", what, got, want)
	}
}
