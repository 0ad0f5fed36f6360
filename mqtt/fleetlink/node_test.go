package fleetlink_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
	"holdfast/mqtt/outbox"
)

// flash is what of a node outlives its processes: the disk of the telemetry ring and
// what is committed before anybody is told. The real journal is tested by itself.
type flash struct {
	mu       sync.Mutex // guards the rest
	disk     *disk
	epoch    string
	entries  []outbox.Entry
	acked    uint64
	confirms bool
	taken    map[uint64]int // counters, and how often each had its effect
	policy   uint64
	applied  []uint64
	usage    fleetlink.Usage
	saves    int
	boots    int
	problems []string
}

func newFlash() *flash {
	return &flash{disk: newDisk(), epoch: "00000000c0ffee00", taken: map[uint64]int{}}
}

func (f *flash) problem(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// process is one life of a node's agent.
type process struct {
	*fleetlink.Link
	tb        testing.TB
	flash     *flash
	spool     *outbox.Spool
	boot      string
	dead      atomic.Bool // the power is gone: whatever it still does has no effect
	changed   chan struct{}
	nonce     string
	heard     int
	refused   []string
	extra     string // in the state
	credulous bool   // takes older policies too: a control
	fits      func(to outbox.Position) string
	stop      func()
}

// book is the process's view on what is committed.
type book struct{ p *process }

var _ fleetlink.Store = book{}

func (j book) Read(after outbox.Position, most int) (outbox.Batch, error) {
	f := j.p.flash
	f.mu.Lock()
	defer f.mu.Unlock()
	from := f.acked
	if after.Epoch == f.epoch {
		from = max(from, after.Seq)
	}
	batch := outbox.Batch{Epoch: f.epoch}
	if from < uint64(len(f.entries)) {
		rest := f.entries[from:]
		batch.Entries = slices.Clone(rest[:min(most, len(rest))])
	}
	return batch, nil
}

func (j book) Ack(to outbox.Position) {
	f := j.p.flash
	f.mu.Lock()
	defer f.mu.Unlock()
	if !j.p.dead.Load() && to.Epoch == f.epoch && to.Seq <= uint64(len(f.entries)) {
		j.p.checkAck(to)
		f.acked = max(f.acked, to.Seq)
	}
}

// checkAck holds an acknowledgement against what the fleet has.
func (p *process) checkAck(to outbox.Position) {
	if p.fits == nil {
		return
	}
	if problem := p.fits(to); problem != "" {
		p.flash.problems = append(p.flash.problems, problem)
	}
}

func (j book) Changed() <-chan struct{} { return j.p.watch() }

func (j book) Status() outbox.Status {
	f := j.p.flash
	f.mu.Lock()
	defer f.mu.Unlock()
	return outbox.Status{Epoch: f.epoch, Next: uint64(len(f.entries)) + 1, Acked: f.acked}
}

// watched is the spool, whose acknowledgements are looked at.
type watched struct{ p *process }

func (w watched) Read(after outbox.Position, most int) (outbox.Batch, error) {
	return w.p.spool.Read(after, most)
}
func (w watched) Changed() <-chan struct{} { return w.p.spool.Changed() }
func (w watched) Status() outbox.Status    { return w.p.spool.Status() }

func (w watched) Ack(to outbox.Position) {
	if w.p.dead.Load() {
		return
	}
	w.p.flash.mu.Lock()
	w.p.checkAck(to)
	w.p.flash.mu.Unlock()
	w.p.spool.Ack(to)
}

// boot starts a process on a flash.
func (f *flash) boot(tb testing.TB, b *broker, alter func(*process, *fleetlink.Options)) *process {
	tb.Helper()
	f.mu.Lock()
	f.boots++
	p := &process{tb: tb, flash: f, boot: fmt.Sprintf("boot-%d", f.boots), changed: make(chan struct{})}
	disk := f.disk
	f.mu.Unlock()
	spool, err := outbox.NewSpool(outbox.SpoolOptions{Dir: "spool", Boot: p.boot, Bytes: 2 << 20, SyncCost: -1, Disk: disk})
	if err != nil {
		tb.Fatal(err)
	}
	if err := spool.Open(context.Background()); err != nil {
		tb.Fatal(err)
	}
	p.spool = spool
	o := p.options(b)
	if alter != nil {
		alter(p, &o)
	}
	if p.Link, err = fleetlink.New(o); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- spool.Run(ctx) }()
	go func() { ended <- p.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				tb.Errorf("Run returned %v, want nil", err)
			}
		}
	})
	return p
}

func (p *process) options(b *broker) fleetlink.Options {
	return fleetlink.Options{
		Site: "s", Node: "n1", Groups: []string{"presses"}, Boot: p.boot,
		Session: mqtt.Options{Broker: "tcp://broker.test", Dial: b.dial},
		Control: fleetlink.Named("control", book{p}), Telemetry: fleetlink.Named("telemetry", watched{p}),
		Commands: p, Policies: p, Freshness: p, Memory: p, Meter: p,
		Confirm: func(_ context.Context, envelope []byte) (edge.Confirmation, error) {
			var c edge.Confirmation
			err := verify(envelope, &c)
			return c, err
		},
		State: p.state, StateChanged: p.watch,
		Birth: func() edge.Presence { return edge.Presence{Boot: p.boot, Version: "1"} },
		Hello: p.hello,
		Refused: func(topic, reason string) {
			p.flash.mu.Lock()
			defer p.flash.mu.Unlock()
			p.refused = append(p.refused, topic+": "+reason)
		},
	}
}

func (p *process) watch() <-chan struct{} {
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	return p.changed
}

func (p *process) signalLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *process) state() edge.Reported {
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	r := edge.Reported{Agent: edge.ReportedAgent{Version: "1", Boot: p.boot, Containerd: true}, Policy: edge.ReportedPolicy{State: "in-force", Version: p.flash.policy}}
	if p.extra != "" {
		r.Workloads = map[string]edge.ReportedWorkload{p.extra: {Image: "i", Desired: 1, Ready: 1}}
	}
	return r
}

func (p *process) setState(extra string) {
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	p.extra = extra
	p.signalLocked()
}

func (p *process) hello() edge.Hello {
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	seen := edge.SeenCommands{Issuer: "k"}
	for counter := range p.flash.taken {
		seen.Counters = append(seen.Counters, counter)
	}
	slices.Sort(seen.Counters)
	return edge.Hello{PolicyVersion: p.flash.policy, Seen: []edge.SeenCommands{seen}}
}

// Apply applies a policy unless an older one.
func (p *process) Apply(_ context.Context, envelope []byte) error {
	var next policy
	if err := verify(envelope, &next); err != nil {
		return err
	}
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	switch {
	case p.dead.Load():
		return edge.ErrUnavailable
	case next.Version < p.flash.policy && !p.credulous:
		return fmt.Errorf("version %d is older: %w", next.Version, edge.ErrInvalid)
	case next.Version == p.flash.policy:
		return nil
	}
	p.flash.policy = next.Version
	p.flash.applied = append(p.flash.applied, next.Version)
	p.signalLocked()
	return nil
}

// Take takes a command once and says what became of it.
func (p *process) Take(_ context.Context, envelope []byte) error {
	var c edge.Command
	if err := verify(envelope, &c); err != nil {
		return err
	}
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	if p.dead.Load() {
		return edge.ErrUnavailable
	}
	if p.flash.taken[c.Counter] == 0 {
		p.flash.taken[c.Counter]++
		p.appendLocked("reply", edge.Reply{Command: c.ID, Stage: edge.StageReceived})
		p.appendLocked("reply", edge.Reply{Command: c.ID, Stage: edge.StageSucceeded})
	}
	return nil
}

func (p *process) appendLocked(kind string, body any) {
	text, err := edge.CanonicalJSON(body)
	if err != nil {
		p.tb.Error(err)
		return
	}
	p.flash.entries = append(p.flash.entries, outbox.Entry{
		Seq: uint64(len(p.flash.entries)) + 1, Boot: p.boot,
		Record: outbox.Record{Mono: time.Second, Time: time.Now(), Quality: "ntp", Kind: kind, Body: text},
	})
	p.signalLocked()
}

// note puts a record into the telemetry ring.
func (p *process) note(n int) {
	class := outbox.D1
	if n%3 == 0 {
		class = outbox.D0
	}
	_, _ = p.spool.Append(outbox.Record{Class: class, Mono: time.Duration(n) * time.Millisecond, Time: time.Now(), Quality: "ntp", Kind: "task", Body: fmt.Appendf(nil, `{"n":%d}`, n)})
}

// answer puts a reply into it that is not kept, and may go ahead.
func (p *process) answer(n int) {
	_, _ = p.spool.Append(outbox.Record{Class: outbox.D0, Mono: time.Duration(n) * time.Millisecond, Kind: "reply", Body: fmt.Appendf(nil, `{"command":"refused-%d","stage":"refused"}`, n)})
}

func (p *process) commit(n int) {
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	p.appendLocked("event", map[string]int{"n": n})
}

// Nonce asks.
func (p *process) Nonce(context.Context) (string, error) {
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	p.nonce = fmt.Sprintf("nonce-%s-%d", p.boot, time.Now().UnixNano())
	return p.nonce, nil
}

// Hear hears the answer to the latest question.
func (p *process) Hear(_ context.Context, envelope []byte) error {
	var token freshness
	if err := verify(envelope, &token); err != nil {
		return err
	}
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	if token.Nonce != p.nonce {
		return fmt.Errorf("answers another question: %w", edge.ErrInvalid)
	}
	p.heard++
	return nil
}

// Confirms is kept.
func (p *process) Confirms() bool {
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	return p.flash.confirms
}

// SetConfirms keeps it.
func (p *process) SetConfirms(context.Context) error {
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	p.flash.confirms = p.flash.confirms || !p.dead.Load()
	return nil
}

// Load loads the meter.
func (p *process) Load() (fleetlink.Usage, error) {
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	return p.flash.usage, nil
}

// Save saves it.
func (p *process) Save(u fleetlink.Usage) error {
	p.flash.mu.Lock()
	defer p.flash.mu.Unlock()
	if !p.dead.Load() {
		p.flash.usage = u
		p.flash.saves++
	}
	return nil
}

// crash takes the power away.
func (p *process) crash(b *broker) {
	p.flash.mu.Lock()
	p.dead.Store(true)
	p.flash.disk = p.flash.disk.cut()
	p.flash.mu.Unlock()
	b.each(func(g *guest) { g.cut() })
	p.stop()
	_ = p.spool.Close() // of a disk that nobody sees again
}

// end stops the process as an orderly stop does.
func (p *process) end() {
	p.stop()
	if err := p.spool.Close(); err != nil {
		p.tb.Error(err)
	}
}

// await waits until it is so, and fails the test when that takes longer than most.
func await(tb testing.TB, what string, most time.Duration, so func() bool) time.Duration {
	tb.Helper()
	began := time.Now()
	for !so() {
		if time.Since(began) > most {
			tb.Errorf("%s: not within %v", what, most)
			return most
		}
		<-time.After(10 * time.Millisecond)
	}
	return time.Since(began)
}

func (p *process) isUp() bool { return p.Status().Session != "" }
