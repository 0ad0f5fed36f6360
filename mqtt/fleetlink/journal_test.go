package fleetlink_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
)

// execEnv names the emulator this binary is run with, as go test -exec does.
const execEnv = "HOLDFAST_EXEC"

// checkVerb makes this test binary the child process that checks a database.
const checkVerb = "check-database"

func child(ctx context.Context, path string) *exec.Cmd {
	args := append(strings.Fields(os.Getenv(execEnv)), os.Args[0], checkVerb, "link", path)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // under -race it would linger a second
	return cmd
}

// durable is a node whose control stream, commands and memory are the real journal's.
type durable struct {
	*world
	path    string
	journal *journal.Journal
	stop    func()
	effects map[string]int
	said    map[uint64]string // what was committed, by number
}

// watchedJournal holds what is acknowledged against what the fleet has.
type watchedJournal struct {
	*journal.Journal
	r *durable
	p *process
}

func (w watchedJournal) Ack(to outbox.Position) {
	if w.p.dead.Load() {
		return
	}
	if has := w.r.fleet.has(to.Epoch); w.Confirms() && to.Seq > has {
		w.p.flash.problem("lost: %s left up to %d, the fleet has %d", to.Epoch, to.Seq, has)
	}
	w.Journal.Ack(to)
}

// open opens the journal and makes the link use it.
func (r *durable) open(p *process, o *fleetlink.Options) {
	stamp := func(e *outbox.Record) { e.Mono, e.Time, e.Quality = time.Minute, time.Now(), "ntp" }
	j, err := journal.New(journal.Options{Path: r.path, Boot: p.boot, Child: child, Stamp: stamp})
	if err != nil {
		r.tb.Fatal(err)
	}
	if err := j.Open(context.Background()); err != nil {
		r.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	r.journal = j
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.tb.Error(err)
		}
		if err := j.Close(); err != nil {
			r.tb.Error(err)
		}
	}
	for _, open := range j.Unfinished() {
		if open.Stage == edge.StageReceived {
			r.effects[open.Command.ID]++
		}
		r.finish(j, open.Command.ID)
	}
	o.Control, o.Memory, o.Commands = fleetlink.Named("control", watchedJournal{j, r, p}), j, takes{r, j, p}
	o.Hello = func() edge.Hello { hello := p.hello(); hello.Seen = j.Seen(); return hello }
}

func (r *durable) finish(j *journal.Journal, id string) {
	if err := j.Finish(context.Background(), edge.Reply{Command: id, Stage: edge.StageSucceeded}); err != nil {
		r.tb.Error(err)
	}
}

// takes is the part of a hall that carries out commands.
type takes struct {
	r *durable
	j *journal.Journal
	p *process
}

func (k takes) Take(ctx context.Context, envelope []byte) error {
	var c edge.Command
	if err := verify(envelope, &c); err != nil {
		return err
	}
	taken, err := k.j.Take(ctx, c, fmt.Sprint("sha256:", c.ID))
	if err != nil || !taken.New {
		return err
	}
	if c.Counter%3 == 0 {
		return nil // the next process carries it out
	}
	if err := k.j.Begin(ctx, c.ID); err != nil {
		return err
	}
	k.r.effects[c.ID]++
	k.r.finish(k.j, c.ID)
	return nil
}

// kill ends the process as kill -9 does: what was committed is there.
func (r *durable) kill(n int) {
	synctest.Wait() // nothing is between an effect and its commit
	text, err := os.ReadFile(r.path)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.node.crash(r.broker)
	r.stop()
	r.path = filepath.Join(filepath.Dir(r.path), fmt.Sprintf("link-%d.db", n))
	if err := os.WriteFile(r.path, text, 0o600); err != nil {
		r.tb.Fatal(err)
	}
	r.start()
}

func (r *durable) commit(n int) {
	body := fmt.Sprintf(`{"n":%d}`, n)
	seq, err := r.journal.Append(context.Background(), outbox.Record{Kind: "event", Body: []byte(body)})
	if err != nil {
		r.tb.Fatal(err)
	}
	r.said[seq] = body
}

// judgeReal is the oracle for what the journal holds.
func (r *durable) judgeReal() (found []string) {
	report := r.node.Status().Streams[0]
	if report.Confirmed+1 != report.Next {
		found = append(found, fmt.Sprintf("unconfirmed: %+v", report))
	}
	r.fleet.mu.Lock()
	defer r.fleet.mu.Unlock()
	kept := r.fleet.streamLocked(report.Epoch).entries
	for seq, body := range r.said {
		if u := kept[seq]; string(u.Body) != body || u.Class != mqtt.Committed {
			found = append(found, fmt.Sprintf("lost: entry %d %s, the fleet has %s", seq, body, u.Body))
		}
	}
	for _, c := range r.fleet.issued {
		if stage := r.fleet.replies[c.ID].Stage; stage != edge.StageSucceeded || r.effects[c.ID] != 1 {
			found = append(found, fmt.Sprintf("command %s is %q after %d effects", c.ID, stage, r.effects[c.ID]))
		}
	}
	r.flash.mu.Lock()
	defer r.flash.mu.Unlock()
	return append(append(found, r.flash.problems...), r.fleet.problems...)
}

// order is a command that a journal takes.
func order(counter uint64) edge.Command {
	return edge.Command{
		APIVersion: edge.APIVersion, Kind: edge.CommandKind, ID: fmt.Sprint("order-", counter), Issuer: "k", Counter: counter,
		Audience: edge.Audience{Node: "n1"}, Expires: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), Verb: edge.VerbRestart,
	}
}

// playJournal plays a world with the real journal, and returns what the oracle found:
// cuts, amnesia and kill -9 while commands come and replies go.
func playJournal(t *testing.T, seed uint64, spoil func(*fleetlink.Options)) (found []string) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &durable{path: filepath.Join(dir, "link.db"), effects: map[string]int{}, said: map[uint64]string{}}
		r.world = prepare(t, seed, func(p *process, o *fleetlink.Options) {
			r.open(p, o)
			if spoil != nil && r.journal.Confirms() {
				spoil(o)
			}
		})
		r.start()
		r.commit(0)
		await(t, "fleet confirms", time.Hour, func() bool { return r.journal.Confirms() })
		for n := range 40 {
			pass(time.Duration(r.random.Int64N(int64(time.Minute))))
			r.commit(n)
			r.orders++
			r.fleet.issue(order(r.orders))
			r.strike(n)
		}
		r.broker.set(r.calm)
		for n := range 48 {
			r.kill(1000 + n) // what was taken and not begun is carried out now
			pass(30 * time.Minute)
			synctest.Wait()
			if found = r.judgeReal(); len(found) == 0 {
				break
			}
		}
		r.node.end()
		r.stop()
		r.broker.ended.Wait()
	})
	return found
}

// strike is what happens to it.
func (r *durable) strike(n int) {
	switch r.random.IntN(6) {
	case 0:
		r.kill(n)
	case 1:
		r.broker.restart(true)
	case 2:
		r.broker.each(func(g *guest) { g.halfOpen() })
	case 3:
		r.broker.set(faults{delay: 100 * time.Millisecond, duplicate: 0.3, reorder: 0.3, dropAfter: 0.1})
	case 4:
		r.broker.set(r.calm)
	}
}

func TestLink_Journal(t *testing.T) {
	for seed := range seeds(4) {
		t.Run(fmt.Sprint("Seed", seed), func(t *testing.T) {
			for _, problem := range playJournal(t, seed, nil) {
				t.Error(problem)
			}
		})
	}
	t.Run("Control", func(t *testing.T) {
		for seed := range uint64(20) {
			if len(playJournal(t, seed, func(o *fleetlink.Options) { o.Memory, o.Confirm = nil, nil })) > 0 {
				return
			}
		}
		t.Error("who believes the broker was never found")
	})
}
