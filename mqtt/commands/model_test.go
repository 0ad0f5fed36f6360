package commands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile/filetest"
	"holdfast/edge/trust"
	"holdfast/mqtt/commands"
	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
)

// The model: a fleet sends commands, each until it is acknowledged, some twice. The node
// crashes at any step: before or after each commit, before or after each effect; what
// was on flash at that moment is what the next life finds. In the last life nothing
// crashes, and everything is sent once more. What the effects did is counted outside.
//
// That a commit is there whole or not at all when the power goes in its midst is tried
// in the journal's own tests.

var errDead = fmt.Errorf("the node is dead: %w", edge.ErrUnavailable)

// world is what outlives the node.
type world struct {
	*fleet
	messages []message
	effects  map[string]int // by id
	taken    map[string]bool
	told     map[string][][]byte // final replies by id, without a promise
	flash    string              // folder of the file as it was at the crash
	lives    int
	steps    int   // of all lives
	found    error // promises that were not kept
}

type message struct {
	command  edge.Command
	envelope []byte
}

// life is one run of the node, up to a crash.
type life struct {
	*world
	dir    string
	cut    int // the step at which it ends; 0: it does not
	cancel context.CancelFunc

	mu   sync.Mutex // guards dead, step, and the world; held over each step
	dead bool
	step int
}

// at makes a step, unless the node is dead or dies of it. What is done holds the lock,
// so that the file is copied in no commit's midst.
func (l *life) at(do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.passLocked(); l.dead {
		return errDead
	}
	if err := do(); err != nil {
		return err
	}
	if l.passLocked(); l.dead {
		return errDead
	}
	return nil
}

func (l *life) passLocked() {
	if l.dead {
		return
	}
	l.step++
	l.steps++
	if l.step == l.cut {
		l.dead = true
		l.flash = filepath.Join(filepath.Dir(l.dir), fmt.Sprint("life-", l.lives+1))
		must(l, os.CopyFS(l.flash, os.DirFS(l.dir)))
		l.cancel()
	}
}

// brink is the journal of a life.
type brink struct {
	*life
	inner commands.Journal
}

func (b *brink) Take(ctx context.Context, c edge.Command, digest string) (taken journal.Taken, err error) {
	err = b.at(func() error { taken, err = b.inner.Take(ctx, c, digest); return err })
	return taken, err
}

func (b *brink) Begin(ctx context.Context, id string) error {
	return b.at(func() error { return b.inner.Begin(ctx, id) })
}

func (b *brink) Finish(ctx context.Context, said edge.Reply) error {
	return b.at(func() error { return b.inner.Finish(ctx, said) })
}

func (b *brink) Unfinished() []journal.Open { return b.inner.Unfinished() }

func (b *brink) KeepIssuers(ctx context.Context, root uint64, issuers []string) error {
	return b.inner.KeepIssuers(ctx, root, issuers)
}

// lateBegin writes that a command began when its effect is over.
type lateBegin struct{ commands.Journal }

func (lateBegin) Begin(context.Context, string) error { return nil }

func (j lateBegin) Finish(ctx context.Context, said edge.Reply) error {
	if err := j.Journal.Begin(ctx, said.Command); err != nil {
		return err
	}
	return j.Journal.Finish(ctx, said)
}

// forgetful takes every command for a new one.
type forgetful struct {
	commands.Journal
	alias map[string]string // what a command is called in the journal, now
	next  *uint64
}

func (j forgetful) Take(ctx context.Context, c edge.Command, digest string) (journal.Taken, error) {
	*j.next++
	id := fmt.Sprint(c.ID, "-", *j.next)
	j.alias[c.ID] = id
	c.ID, c.Counter = id, 1_000_000+*j.next
	return j.Journal.Take(ctx, c, digest)
}

func (j forgetful) Begin(ctx context.Context, id string) error {
	return j.Journal.Begin(ctx, j.alias[id])
}

func (j forgetful) Finish(ctx context.Context, said edge.Reply) error {
	said.Command = j.alias[said.Command]
	return j.Journal.Finish(ctx, said)
}

// live runs the node on what the last life left, and gives it some messages.
func (w *world) live(t *testing.T, r *rand.Rand, cut int, spoil func(commands.Journal) commands.Journal) (cameToStep int) {
	l := &life{world: w, dir: w.flash, cut: cut}
	boot := fmt.Sprint("boot-", w.lives/2) // every other life is only a restart
	opened, err := journal.New(journal.Options{Path: filepath.Join(l.dir, "link.db"), Boot: boot, Child: child, Stamp: stamp})
	must(t, err)
	must(t, opened.Open(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	runner, err := commands.New(commands.Options{
		Node: edge.Identity{Node: "gw-7"}, Root: func() *trust.Root { return w.root },
		Journal: &brink{l, spoil(opened)}, Do: l.do, Expired: func(time.Time) bool { return false },
		Policy: func() (uint64, bool) { return 1, false }, Progress: l.hear,
	})
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	w.send(ctx, l, r, runner)
	if cut == 0 {
		synctest.Wait()
		time.Sleep(time.Hour) // whatever takes its time
		synctest.Wait()
		w.settle(t, l, runner, opened)
	}
	cancel()
	must(t, <-ended)
	must(t, opened.Close())
	w.lives++
	return l.step
}

// do is the effect: it happens in one instant, before and after which it takes a while.
func (l *life) do(ctx context.Context, c edge.Command, _ func(edge.Progress)) (json.RawMessage, error) {
	wait := func() error {
		timer := time.NewTimer(time.Duration(c.Counter%3) * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := wait(); err != nil {
		return nil, err
	}
	if err := l.at(func() error { l.effects[c.ID]++; return nil }); err != nil {
		return nil, err
	}
	if err := wait(); err != nil {
		return nil, err
	}
	return json.RawMessage(fmt.Sprintf(`{"n":%d}`, l.lives)), nil
}

func (l *life) hear(said edge.Reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := edge.CanonicalJSON(said)
	must(l, err)
	l.told[said.Command] = append(l.told[said.Command], text)
}

// send brings what was not acknowledged, in order, and now and then something twice.
func (w *world) send(ctx context.Context, l *life, r *rand.Rand, runner *commands.Runner) {
	for _, m := range w.messages {
		again := w.taken[m.command.ID]
		if again && r.IntN(4) > 0 || l.cut != 0 && r.IntN(8) == 0 {
			continue
		}
		err := runner.Accept(ctx, m.envelope)
		l.mu.Lock()
		if err == nil && !l.dead {
			w.taken[m.command.ID] = true
		}
		l.mu.Unlock()
		if r.IntN(3) == 0 {
			time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
		}
	}
	if l.cut != 0 {
		time.Sleep(10 * time.Second)
	}
}

// settle holds what came of it all against what was promised.
func (w *world) settle(t *testing.T, l *life, runner *commands.Runner, j *journal.Journal) {
	batch, err := j.Read(outbox.Position{}, 1<<20)
	must(t, err)
	walk := map[string][]edge.Stage{}
	final := map[string][]byte{}
	for _, e := range batch.Entries {
		var said edge.Reply
		must(t, json.Unmarshal(e.Body, &said))
		id := strings.SplitN(said.Command, "-", 2)[0] // forgetful calls it something else
		walk[id] = append(walk[id], said.Stage)
		if said.Stage.Final() {
			final[id] = e.Body
		}
	}
	clear(w.told)
	for _, m := range w.messages {
		time.Sleep(time.Second) // answers have a rate
		must(t, runner.Accept(t.Context(), m.envelope))
	}
	synctest.Wait()
	for _, m := range w.messages {
		id := m.command.ID
		if err := w.judge(m.command, walk[id], final[id], w.told[id]); err != nil {
			w.found = errors.Join(w.found, fmt.Errorf("%s %s: %w: said %v, %d effects", id, m.command.Verb, err, walk[id], w.effects[id]))
		}
	}
	if left := j.Unfinished(); len(left) != 0 {
		w.found = errors.Join(w.found, fmt.Errorf("%d commands never ended", len(left)))
	}
}

// errTwice is what a control must bring.
var errTwice = errors.New("had an effect more than once")

// judge holds one command against the promises.
func (w *world) judge(c edge.Command, walk []edge.Stage, final []byte, told [][]byte) error {
	once := !edge.Verbs()[c.Verb].Repeatable
	effects := w.effects[c.ID]
	if len(walk) == 0 {
		return errors.New("was taken, and nothing was said")
	}
	finals := 0
	for _, stage := range walk {
		if stage.Final() {
			finals++
		}
	}
	last := walk[len(walk)-1]
	switch {
	case once && effects > 1:
		return errTwice
	case finals != 1 || !last.Final() || walk[0] != edge.StageReceived:
		return errors.New("has not exactly one final reply, at the end")
	case last == edge.StageSucceeded && effects == 0 && c.Verb != edge.VerbReboot && c.Verb != edge.VerbCancel:
		return errors.New("succeeded without an effect")
	case last == edge.StageIndeterminate && !once:
		return errors.New("is indeterminate, and might have been repeated")
	case last == edge.StageSuperseded && !w.isTarget(c.ID), last != edge.StageSuperseded && last != edge.StageIndeterminate && last != edge.StageSucceeded && c.Verb != edge.VerbCancel:
		return errors.New("came to an end nobody asked for")
	case len(told) != 1 || !bytes.Equal(told[0], final):
		return fmt.Errorf("gave another reply when it came again: %s, not %s", told, final)
	}
	return nil
}

func (w *world) isTarget(id string) bool {
	return slices.ContainsFunc(w.messages, func(m message) bool { return m.command.Supersedes == id })
}

// newWorld has the fleet sign a dozen commands.
func newWorld(t *testing.T, f *fleet, dir string, r *rand.Rand) *world {
	w := &world{
		fleet: f, flash: filepath.Join(dir, "life-0"), effects: map[string]int{}, taken: map[string]bool{}, told: map[string][][]byte{},
	}
	must(t, os.Mkdir(w.flash, 0o755))
	verbs := []edge.Verb{edge.VerbRestart, edge.VerbPull, edge.VerbExec, edge.VerbRollback, edge.VerbStop, edge.VerbReboot, edge.VerbVitals, edge.VerbRestart, edge.VerbScale, edge.VerbExec, edge.VerbRestart, edge.VerbCancel}
	for i, verb := range verbs {
		c := f.order(fmt.Sprint("c", i), uint64(1000+i), verb)
		c.Issuer = f.ids[r.IntN(2)]
		if i > 0 && (verb == edge.VerbCancel || r.IntN(6) == 0) {
			c.Supersedes = fmt.Sprint("c", r.IntN(i))
		}
		w.messages = append(w.messages, message{c, f.sign(c)})
	}
	return w
}

// crash lives until nothing is to come, and says which promise was not kept. cuts are
// the steps at which the lives end.
func crash(t *testing.T, f *fleet, dir string, seed int, cuts []int, spoil func() func(commands.Journal) commands.Journal) (steps int, err error) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		here := *f
		here.TB = t
		w := newWorld(t, &here, dir, r)
		journals := spoil()
		for _, cut := range cuts {
			if came := w.live(t, r, cut, journals); came < cut {
				break // everything was done before
			}
		}
		w.live(t, r, 0, journals)
		steps, err = w.steps, w.found
	})
	return steps, err
}

func honest() func(commands.Journal) commands.Journal {
	return func(j commands.Journal) commands.Journal { return j }
}

// TestRunner_CrashAtEveryStep crashes one run at each of its steps.
func TestRunner_CrashAtEveryStep(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	steps, err := crash(t, f, t.TempDir(), 1, nil, honest)
	must(t, err)
	if steps < 80 {
		t.Fatalf("only %d steps", steps)
	}
	for cut := 1; cut <= steps; cut++ {
		if _, err := crash(t, f, t.TempDir(), 1, []int{cut}, honest); err != nil {
			t.Fatalf("cut at step %d: %v", cut, err)
		}
	}
	t.Logf("%d steps", steps)
}

// TestRunner_CrashOften crashes many runs, again and again.
func TestRunner_CrashOften(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for seed := range filetest.Cases(t, 40) {
		if _, err := crash(t, f, t.TempDir(), seed, manyCuts(seed), honest); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func manyCuts(seed int) (cuts []int) {
	r := rand.New(rand.NewPCG(uint64(seed), 4))
	for range 1 + r.IntN(8) {
		cuts = append(cuts, 1+r.IntN(25))
	}
	return cuts
}

// TestRunner_CrashControls: what does not keep the promises is found out.
func TestRunner_CrashControls(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for name, spoil := range map[string]func() func(commands.Journal) commands.Journal{
		"BeginsAfterTheEffect": func() func(commands.Journal) commands.Journal {
			return func(j commands.Journal) commands.Journal { return lateBegin{j} }
		},
		"ForgetsWhatItSaw": func() func(commands.Journal) commands.Journal {
			alias, next := map[string]string{}, new(uint64)
			return func(j commands.Journal) commands.Journal { return forgetful{j, alias, next} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			const tries = 30
			for seed := range tries {
				if _, err := crash(t, f, t.TempDir(), seed, manyCuts(seed), spoil); errors.Is(err, errTwice) {
					t.Logf("found out at seed %d: %v", seed, err)
					return
				}
			}
			t.Errorf("%d runs and nothing found: the harness is blind", tries)
		})
	}
}
