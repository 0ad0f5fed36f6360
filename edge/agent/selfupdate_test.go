package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/release"
	"holdfast/edge/slots"
	"holdfast/edge/trust"
	"holdfast/policycache"
)

// bench is an updater over real slots and a real policy cache; what another program would
// say, and how the node is, the test decides.
type updateBench struct {
	*testing.T
	*updater
	key   ed25519.PrivateKey
	root  *trust.Root
	fails error
	shelf string

	replaces uint64 // what releases replace at least

	mu   sync.Mutex // guards what follows
	said SelfTested
	now  standing
}

// is sets how the node is from now on.
func (b *updateBench) is(now standing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = now
}

func (b *updateBench) stand() standing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *updateBench) testSelf(context.Context, string, string) (SelfTested, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said, b.fails
}

func newUpdateBench(t *testing.T, running slots.Name) *updateBench {
	t.Helper()
	b := &updateBench{T: t, key: ed25519.NewKeyFromSeed(append(make([]byte, 31), 7)), shelf: t.TempDir()}
	public, err := trust.KeyOf(b.key)
	b.must(err)
	grants := map[trust.Role]trust.Grant{}
	for _, role := range trust.Roles {
		grants[role] = trust.Grant{KeyIDs: []string{public.ID}, Threshold: 1}
	}
	b.root, err = trust.NewRoot(1, []trust.Key{public}, grants)
	b.must(err)
	state := t.TempDir()
	g := &governor{log: slog.New(slog.DiscardHandler)}
	g.store, err = policycache.New(policycache.Options{
		Dir: state, Root: b.root, Identity: edge.Identity{Node: "gw-1"}, Checker: checker(kindState), Failing: func() []string { return nil },
	})
	b.must(err)
	b.must(g.store.Open(t.Context()))
	t.Cleanup(func() { _ = g.store.Close() })
	dir := filepath.Join(t.TempDir(), "slots")
	store, err := slots.New(slots.Options{Dir: dir, Running: running, Factory: "1.0"})
	b.must(err)
	chronicle := newChronicle(slog.New(slog.DiscardHandler))
	b.updater = &updater{
		slots: store, started: slots.Started{Slot: running, Dir: dir, Factory: "1.0"}, version: "1.0", platform: platform(), governor: g,
		options: config.Update{ConfirmAfter: config.Duration(10 * time.Minute)},
		path:    filepath.Join(state, pursuitName), staging: t.TempDir(), client: release.NewClient(time.Now),
		room:   func(context.Context, string, int64) error { return nil },
		reread: func() error { return nil }, standing: b.stand, try: b.testSelf,
		chronicle: chronicle, warnings: newWarnings(chronicle), log: slog.New(slog.DiscardHandler),
		ready: make(chan struct{}), taking: newTurn(), leave: make(chan string, 1),
	}
	return b
}

func (b *updateBench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// release puts a release of a version onto the shelf, and gives the wish for it. Its program
// is the head of this one, which is for this machine, and the version.
func (b *updateBench) release(version string, sequence uint64) wish {
	b.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	b.must(err)
	program := append(self[:64:64], version...)
	sum := sha256.Sum256(program)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	payload, err := edge.Release{Version: version, Sequence: sequence, Replaces: b.replaces, Artifacts: map[string]edge.Artifact{
		platform(): {Size: int64(len(program)), Digest: digest, Pieces: []string{digest}},
	}}.Encode()
	b.must(err)
	envelope, err := trust.Sign(trust.TypeRelease, payload, b.key)
	b.must(err)
	folder := filepath.Join(b.shelf, version)
	b.must(os.MkdirAll(folder, 0o755))
	b.must(os.WriteFile(filepath.Join(folder, edge.ReleaseFile), envelope, 0o644))
	b.must(os.WriteFile(filepath.Join(folder, edge.ArtifactFile(platform())), program, 0o644))
	b.mu.Lock()
	b.said = SelfTested{Version: version}
	b.mu.Unlock()
	named := sha256.Sum256(payload)
	return wish{release: "sha256:" + hex.EncodeToString(named[:]), sources: []release.Source{release.Folder(folder)}, origin: "test"}
}

func (b *updateBench) get(w wish) (brought, error) {
	return b.bring(b.Context(), w, func(edge.Progress) {})
}

func (b *updateBench) kinds() (kinds []edge.EventKind) {
	for _, e := range b.chronicle.Since(0) {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func TestUpdater_Bring(t *testing.T) {
	t.Run("Switches", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		got, err := b.get(b.release("1.1", 2))
		state, _ := b.slots.State()
		if err != nil || !got.switched || got.Version != "1.1" || got.From != "1.0" || string(state.Active) != got.Slot || !state.OnTrial() {
			t.Errorf("got %+v, %v; the slots are %+v", got, err, state)
		}
		if want := []edge.EventKind{edge.EventAgentUpdateBegan, edge.EventAgentUpdateTried}; fmt.Sprint(b.kinds()) != fmt.Sprint(want) {
			t.Errorf("events are %v, want %v", b.kinds(), want)
		}
		if p := b.pursued(); p.Binary.Version != "1.1" || p.Origin != "test" || p.From != "1.0" {
			t.Errorf("kept is %+v", p)
		}
	})
	t.Run("RunsAlready", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		_, err := b.get(w)
		b.must(err)
		b.become(slots.A)
		b.must(os.RemoveAll(b.shelf)) // what it knows it does not ask for
		if got, err := b.get(w); err != nil || got.switched || !got.trial || got.From != "1.0" {
			t.Errorf("on trial: %+v, %v", got, err)
		}
		b.must(b.slots.Confirm())
		if got, err := b.get(w); err != nil || got.switched || got.trial || got.Slot != "a" {
			t.Errorf("confirmed: %+v, %v", got, err)
		}
	})
	t.Run("AnotherOnTrial", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		_, err := b.get(b.release("1.1", 2))
		b.must(err)
		b.become(slots.A)
		if _, err := b.get(b.release("1.2", 3)); !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(err.Error(), "version 1.1 is on trial") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("FoundBad", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		b.fails = errors.New("it fell over")
		_, err := b.get(w)
		var failed *rejected
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), "its self-test failed: it fell over") {
			t.Fatalf("got %v", err)
		}
		b.fails = nil
		if _, err := b.get(w); !errors.As(err, &failed) || failed.Reason() != "version_rejected" {
			t.Errorf("again: %v", err)
		}
		if state, _ := b.slots.State(); state.OnTrial() || len(state.Bad) != 1 {
			t.Errorf("the slots are %+v", state)
		}
	})
	t.Run("FoundBadAndTriedAgain", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		w.origin, w.again, w.resumes = "command one", true, true
		leaves := func(by string) {
			t.Helper()
			if got, err := b.get(w); err != nil || !got.switched {
				t.Fatalf("%s: %+v, %v; want it to be tried", by, got, err)
			}
			b.become(slots.A)
			b.must(b.slots.Reject(slots.A, "no link to the fleet"))
			b.become(slots.Factory)
		}
		leaves("for the first time")
		var failed *rejected
		if _, err := b.get(w); !errors.As(err, &failed) {
			t.Errorf("the same command goes on after the version was left: %v; want that to be its end", err)
		}
		w.origin = "command two"
		leaves("by another command")
		w.origin, w.again = "command three", false
		if _, err := b.get(w); !errors.As(err, &failed) {
			t.Errorf("a command that does not ask for it: %v", err)
		}
	})
	t.Run("NodeInTrouble", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		b.fails = fmt.Errorf("%w: too little memory", edge.ErrUnavailable)
		if _, err := b.get(w); !errors.Is(err, edge.ErrUnavailable) || isFinal(err) {
			t.Errorf("got %v", err)
		}
		b.fails = nil
		if got, err := b.get(w); err != nil || !got.switched {
			t.Errorf("without the trouble: %+v, %v", got, err)
		}
	})
	t.Run("FactoryTookOver", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		_, err := b.get(b.release("1.1", 2))
		b.must(err)
		b.become(slots.A)
		b.must(b.slots.Confirm())
		b.started.Slot, b.replaces = slots.Factory, 2
		if got, err := b.get(b.release("1.2", 3)); err != nil || !got.switched {
			t.Errorf("what replaces the version that was confirmed: %+v, %v", got, err)
		}
		b.replaces = 4
		if _, err := b.get(b.release("1.5", 5)); trust.ReasonOf(err) != trust.ReasonReplaces {
			t.Errorf("what replaces a later one: %v", err)
		}
	})
	t.Run("FactoryStoodInOnce", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		_, err := b.get(w)
		b.must(err)
		b.become(slots.A)
		b.must(b.slots.Confirm())
		b.started.Slot = slots.Factory // the disk was slow
		if got, err := b.get(w); err != nil || !got.switched || got.Slot != "a" {
			t.Errorf("got %+v, %v; want it to be started", got, err)
		}
		if _, err := b.get(w); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("when that has not helped: %v", err)
		}
	})
	t.Run("AboutToLeave", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		_, err := b.get(w)
		b.must(err)
		b.become(slots.A)
		b.must(b.slots.Reject(slots.A, "no link to the fleet"))
		w.again = true
		if got, err := b.get(w); err != nil || !got.switched {
			t.Errorf("the version that was just left, again: %+v, %v; want it to be tried anew, not to run already", got, err)
		}
	})
	t.Run("OtherVersion", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		b.said.Version = "1.0"
		if _, err := b.get(w); err == nil || !strings.Contains(err.Error(), `it says that it is version "1.0"`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("OtherPolicy", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		b.said.Policy = "sha256:other"
		if _, err := b.get(w); err == nil || !strings.Contains(err.Error(), "it finds the policy") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ConfigurationBroken", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		b.reread = func() error { return errors.New("line 3") }
		if _, err := b.get(w); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if state, _ := b.slots.State(); len(state.Bad) > 0 {
			t.Errorf("the version is blamed for it: %+v", state.Bad)
		}
	})
	t.Run("NoRoom", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		w := b.release("1.1", 2)
		b.room = func(_ context.Context, _ string, need int64) error {
			return fmt.Errorf("%w for %d bytes", edge.ErrNoRoom, need)
		}
		if _, err := b.get(w); !errors.Is(err, edge.ErrNoRoom) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Stranger", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		b.key = ed25519.NewKeyFromSeed(make([]byte, 32))
		if _, err := b.get(b.release("1.1", 2)); trust.ReasonOf(err) != trust.ReasonUnknownKey {
			t.Errorf("got %v", err)
		}
	})
	t.Run("NotByTheLauncher", func(t *testing.T) {
		b := newUpdateBench(t, "")
		if _, err := b.get(b.release("1.1", 2)); err == nil || edge.HintOf(err) == "" {
			t.Errorf("got %v with the hint %q", err, edge.HintOf(err))
		}
	})
	t.Run("Ungoverned", func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		b.governor = nil
		if _, err := b.get(b.release("1.1", 2)); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}

// become has the updater be the process that the launcher starts next.
func (b *updateBench) become(want slots.Name) {
	b.Helper()
	choice, err := b.slots.Choose()
	if err != nil || choice.Slot != want {
		b.Fatalf("the launcher chooses %+v, %v; want slot %s", choice, err, want)
	}
	b.started.Slot, b.version = choice.Slot, choice.Version
	b.slots, err = slots.New(slots.Options{Dir: b.started.Dir, Running: choice.Slot, Factory: "1.0"})
	b.must(err)
	b.look()
}

// tried is a bench whose updater runs a version on trial.
func tried(t *testing.T, before standing) *updateBench {
	t.Helper()
	b := newUpdateBench(t, slots.Factory)
	b.is(before)
	_, err := b.get(b.release("1.1", 2))
	b.must(err)
	b.become(slots.A)
	return b
}

// watch watches the trial for so long, and changes how the node is after each of the spans.
func (b *updateBench) watch(after ...func()) {
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.watchTrial(ctx) }()
	for _, change := range after {
		time.Sleep(9 * time.Minute)
		change()
	}
	time.Sleep(9 * time.Minute)
	cancel()
	b.must(<-ended)
}

func TestUpdater_Trial(t *testing.T) {
	whole := standing{Daemon: true, Link: true, Linked: true, Workloads: map[string]count{"line/a": {"x", 2}}, Wanted: map[string]count{"line/a": {"x", 2}}}
	none := func() {}
	inBubble := func(name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
	inBubble("Confirms", func(t *testing.T) {
		b := tried(t, whole)
		b.watch()
		if state, _ := b.slots.State(); !state.OnTrial() {
			t.Error("it is confirmed after 9 minutes, want 10")
		}
		b.watch(none)
		if state, _ := b.slots.State(); state.OnTrial() || state.Confirmed != slots.A || state.Floor != 2 {
			t.Errorf("the slots are %+v", state)
		}
		if b.Report().Trial || b.kinds()[len(b.kinds())-1] != edge.EventAgentUpdateConfirmed {
			t.Errorf("it reports %+v, and events %v", b.Report(), b.kinds())
		}
	})
	inBubble("ABreakBeginsAnew", func(t *testing.T) {
		b := tried(t, whole)
		cut := whole
		cut.Linked = false
		b.watch(func() { b.is(cut) }, func() { b.is(whole) })
		if state, _ := b.slots.State(); !state.OnTrial() || b.Report().Unwell != "" {
			t.Errorf("the slots are %+v, the report %+v", state, b.Report())
		}
	})
	inBubble("LinkOnlyAtFirst", func(t *testing.T) {
		b := tried(t, whole)
		thrownOut := whole
		thrownOut.Linked = false // it had one within the day: for a second
		b.is(thrownOut)
		b.watch(none)
		if state, _ := b.slots.State(); !state.OnTrial() || !strings.Contains(b.Report().Unwell, "no link") {
			t.Errorf("the slots are %+v, the report %+v", state, b.Report())
		}
	})
	inBubble("NeverWell", func(t *testing.T) {
		b := tried(t, whole)
		b.is(standing{Link: true, Linked: true, Workloads: whole.Workloads, Wanted: whole.Wanted})
		b.watch(none, none, none)
		bad, is := func() (slots.Bad, bool) {
			state, _ := b.slots.State()
			return state.Badly(b.pursued().Binary.Digest)
		}()
		if !is || !strings.Contains(bad.Reason, "containerd does not answer") {
			t.Fatalf("it is bad: %v, %q", is, bad.Reason)
		}
		if version := <-b.leave; version != "1.0" {
			t.Errorf("the agent leaves for %q, want 1.0", version)
		}
		b.become(slots.Factory)
		for range 2 {
			b.tellEnd()
		}
		fell := 0
		for _, kind := range b.kinds() {
			if kind == edge.EventAgentFellBack {
				fell++
			}
		}
		if fell != 1 || len(b.warnings.All()) != 1 || b.warnings.All()[0].Code != codeFellBack {
			t.Errorf("told %d times, warnings %+v", fell, b.warnings.All())
		}
	})
}

// TestUpdater_Settle: starts are forgotten once the agent was in service for a minute, and at
// an end in order; of one that never was in service they are not.
func TestUpdater_Settle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newUpdateBench(t, slots.Factory)
		counted := t.TempDir()
		run, err := slots.New(slots.Options{Dir: b.started.Dir, Run: counted, Running: slots.A, Factory: "1.0"})
		b.must(err)
		_, err = b.get(b.release("1.1", 2))
		b.must(err)
		b.become(slots.A)
		b.must(b.slots.Confirm())
		b.slots = run
		starts := func(want int) {
			t.Helper()
			choice, err := run.Choose() // which counts one more
			if err != nil || choice.Slot != slots.A {
				t.Fatalf("the launcher chooses %+v, %v", choice, err)
			}
			if text, err := os.ReadFile(filepath.Join(counted, "starts")); err != nil || strings.Fields(string(text))[1] != fmt.Sprint(want) {
				t.Errorf("counted is %q, %v; want %d starts", text, err, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.settle(ctx) }()
		starts(1)
		time.Sleep(10 * time.Minute)
		b.endInOrder()
		starts(2)
		close(b.ready)
		time.Sleep(settleAfter / 2)
		starts(3)
		time.Sleep(settleAfter)
		starts(1)
		b.endInOrder()
		starts(1)
		cancel()
		b.must(<-ended)
	})
}

// TestUpdater_Follow has somebody want a release that lies in a folder, for as long as it does.
func TestUpdater_Follow(t *testing.T) {
	run := func(name string, prepare func(*updateBench), test func(*updateBench, func(time.Duration))) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newUpdateBench(t, slots.Factory)
				b.options.Folder = filepath.Join(b.shelf, "1.1")
				prepare(b)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- b.followFolder(ctx) }()
				test(b, func(d time.Duration) { time.Sleep(d); synctest.Wait() })
				cancel()
				b.must(<-ended)
			})
		})
	}
	codes := func(b *updateBench) (codes []string) {
		for _, w := range b.warnings.All() {
			codes = append(codes, w.Code)
		}
		return codes
	}
	nothing := func(*updateBench) {}
	run("Brought", nothing, func(b *updateBench, pass func(time.Duration)) {
		pass(time.Minute) // there is nothing
		b.release("1.1", 2)
		pass(2 * wishEvery)
		if version := <-b.leave; version != "1.1" {
			b.Errorf("the agent leaves for %q", version)
		}
	})
	var fails atomic.Int64
	run("TriedAgainOnABadDisk", func(b *updateBench) {
		b.room = func(context.Context, string, int64) error { fails.Add(1); return errors.New("input/output error") }
	}, func(b *updateBench, pass func(time.Duration)) {
		b.release("1.1", 2)
		pass(10 * time.Minute)
		if tries, got := fails.Load(), codes(b); tries < 3 || len(got) != 1 || got[0] != codeUpdateWaits {
			b.Errorf("tried %d times in ten minutes, warnings %q", tries, got)
		}
	})
	var tries atomic.Int64
	run("TriedAgain", func(b *updateBench) {
		b.room = func(context.Context, string, int64) error { tries.Add(1); return edge.ErrNoRoom }
	}, func(b *updateBench, pass func(time.Duration)) {
		b.release("1.1", 2)
		pass(10 * time.Minute)
		if tries, got := tries.Load(), codes(b); tries < 3 || tries > 8 || len(got) != 1 || got[0] != codeUpdateWaits {
			b.Errorf("tried %d times in ten minutes, warnings %q", tries, got)
		}
		b.must(os.RemoveAll(b.options.Folder))
		pass(2 * wishEvery)
		if got := codes(b); got != nil {
			b.Errorf("it is not wanted any more, and warnings are %q", got)
		}
	})
	run("Refused", func(b *updateBench) { b.fails = errors.New("it fell over") }, func(b *updateBench, pass func(time.Duration)) {
		b.release("1.1", 2)
		pass(10 * time.Minute)
		if got := codes(b); len(got) != 1 || got[0] != codeUpdateRefused {
			b.Errorf("warnings are %q", got)
		}
	})
	run("CannotBeUpdated", func(b *updateBench) { b.started.Slot = "" }, func(b *updateBench, pass func(time.Duration)) {
		b.release("1.1", 2)
		pass(2 * wishEvery)
		if got := codes(b); len(got) != 1 || got[0] != codeUpdateRefused {
			b.Errorf("warnings are %q", got)
		}
	})
}

func TestStanding_Worse(t *testing.T) {
	one := func(spec string, n int) map[string]count { return map[string]count{"line/a": {spec, n}} }
	for _, c := range []struct {
		name        string
		before, now standing
		want        string
	}{
		{name: "Same", before: standing{Daemon: true, Workloads: one("x", 1)}, now: standing{Daemon: true, Workloads: one("x", 1), Wanted: one("x", 1)}},
		{name: "NoDaemonBefore", now: standing{}},
		{name: "DaemonGone", before: standing{Daemon: true}, now: standing{}, want: "containerd"},
		{name: "NoLinkBefore", before: standing{Daemon: true}, now: standing{Daemon: true}},
		{name: "LinkGone", before: standing{Link: true}, now: standing{}, want: "link"},
		{name: "NotReady", before: standing{Workloads: one("x", 2)}, now: standing{Workloads: one("x", 1), Wanted: one("x", 2)}, want: "1 of workload line/a"},
		{name: "FewerWanted", before: standing{Workloads: one("x", 2)}, now: standing{Workloads: one("x", 1), Wanted: one("x", 1)}},
		{name: "OtherVersionWanted", before: standing{Workloads: one("x", 2)}, now: standing{Wanted: one("y", 2)}},
		{name: "NotWanted", before: standing{Workloads: one("x", 2)}, now: standing{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.now.worse(c.before); got == "" != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
