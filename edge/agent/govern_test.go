package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
	"holdfast/policycache"
)

// hallRig is a governor between a real policy cache and rooms that only listen.
type hallRig struct {
	*governor
	t       *testing.T
	key     ed25519.PrivateKey
	ruled   []uint64 // versions the scheduler was told of
	desired []string // the last the supervisor was told of
	held    []edge.Image
	taken   error // which port is another's
}

const image = "line.example/digits@sha256:1111111111111111111111111111111111111111111111111111111111111111"

func newHallRig(t *testing.T, factory uint64) *hallRig {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "fleet")
	if _, err := fleet.Init(t.Context(), folder, fleet.DefaultQuorums(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	key, err := fleet.ReadPrivateKey(filepath.Join(folder, "keys", "policy-1.key"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := fleet.ReadRoot(filepath.Join(folder, "root.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &hallRig{t: t, key: key, held: []edge.Image{{Digest: "sha256:" + strings.Repeat("1", 64)}}}
	j := newChronicle(slog.New(slog.DiscardHandler))
	w := newWarnings(j)
	r.governor = &governor{
		rule: func(p *edge.Policy) {
			if p != nil {
				r.ruled = append(r.ruled, p.Metadata.Version)
			}
		},
		desire: func(workloads []edge.Workload) {
			r.desired = nil
			for _, w := range workloads {
				r.desired = append(r.desired, fmt.Sprintf("%s %d %v", w.Key(), w.Replicas, w.Limits.Memory>>20))
			}
		},
		vacant:    func(*edge.Policy) error { return r.taken },
		supply:    func(_ context.Context, p *edge.Policy) error { return missingImages(p, r.held) },
		settle:    func(context.Context) error { return nil },
		chronicle: j, log: slog.New(slog.DiscardHandler), failed: make(chan failure, 1), back: make(chan uint64, 1), taking: newTurn(), length: time.Minute,
		shown: &sharedWarnings{warnings: w}, refused: &sharedWarnings{warnings: w},
	}
	options := policycache.Options{
		Dir: t.TempDir(), Root: root, Identity: edge.Identity{Node: "gw-1"},
		Checker: checker(kindState), Failing: r.failing,
	}
	if factory > 0 {
		options.Factory = r.policy(factory, "digits")
	}
	if r.store, err = policycache.New(options); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
	r.daemonUp = true // as Stock says once containerd answers
	r.enforce()
	return r
}

// policy signs a version that runs one service for each name.
func (r *hallRig) policy(version uint64, services ...string) []byte {
	r.t.Helper()
	p := edge.Policy{
		Metadata: edge.Metadata{Name: "line", Version: version, Audience: edge.Audience{Node: "gw-1"}},
		Lease:    edge.LeaseTerms{Hours: 24, Boots: 10},
		Limits:   edge.LimitsPolicy{Default: edge.InstanceLimits{Memory: 64 << 20}},
	}
	for _, name := range services {
		name, image, _ := strings.Cut(name+"="+image, "=")
		image, _, _ = strings.Cut(image, "=")
		p.Workloads = append(p.Workloads, edge.Workload{App: "line", Name: name, Image: image, Replicas: 1})
	}
	payload, err := p.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	envelope, err := trust.Sign(trust.RolePolicy.PayloadType(), payload, r.key)
	if err != nil {
		r.t.Fatal(err)
	}
	return envelope
}

func (r *hallRig) apply(version uint64, services ...string) error {
	r.t.Helper()
	_, err := r.Apply(r.t.Context(), r.policy(version, services...))
	return err
}

// want holds the version in force, what the rooms were told last, and the state.
func (r *hallRig) want(version uint64, state string, desired ...string) {
	r.t.Helper()
	report := r.report()
	if report.Version != version || report.State != state {
		r.t.Errorf("got version %d (%s), want %d (%s)", report.Version, report.State, version, state)
	}
	if got := strings.Join(r.desired, ", "); got != strings.Join(desired, ", ") {
		r.t.Errorf("the supervisor was told %q, want %q", got, desired)
	}
	if last := r.ruled[len(r.ruled)-1]; last != version {
		r.t.Errorf("the scheduler was told of version %d, want %d", last, version)
	}
}

func (r *hallRig) events(kind edge.EventKind) (causes []string) {
	for _, e := range r.chronicle.Since(0) {
		if e.Kind == kind {
			causes = append(causes, e.Cause)
		}
	}
	return causes
}

func TestGovernor_Factory(t *testing.T) {
	r := newHallRig(t, 3)
	r.want(3, "factory", "line/digits 1 64")
	if got := r.events(edge.EventPolicyInForce); len(got) != 1 {
		t.Errorf("got %d events that a policy is in force, want one", len(got))
	}
}

func TestGovernor_None(t *testing.T) {
	r := newHallRig(t, 0)
	if r.desired != nil || r.ruled != nil {
		t.Errorf("the rooms were told %v and %v without a policy, want nothing", r.desired, r.ruled)
	}
	if err := r.apply(1, "digits"); err != nil {
		t.Fatal(err)
	}
	r.want(1, "current", "line/digits 1 64")
	if view, err := r.Policy(); err != nil || !strings.Contains(string(view.Document), `"kind":"Policy"`) {
		t.Errorf("got document %s and error %v", view.Document, err)
	}
}

func TestGovernor_Apply(t *testing.T) {
	r := newHallRig(t, 1)
	if err := r.apply(2, "digits", "more"); err != nil {
		t.Fatal(err)
	}
	r.want(2, "current", "line/digits 1 64", "line/more 1 64")
	t.Run("Older", func(t *testing.T) {
		if err := r.apply(1); trust.ReasonOf(err) != trust.ReasonRollback {
			t.Errorf("got %v, want %s", err, trust.ReasonRollback)
		}
		r.want(2, "current", "line/digits 1 64", "line/more 1 64")
		if got := r.events(edge.EventPolicyRefused); len(got) != 1 || !strings.Contains(got[0], "rollback") {
			t.Errorf("got events %q, want one refusal", got)
		}
	})
	t.Run("ImageMissing", func(t *testing.T) {
		strange := "other=line.example/x@sha256:" + strings.Repeat("2", 64)
		err := r.apply(3, "digits", strange)
		if !errors.Is(err, edge.ErrNotFound) || !strings.Contains(err.Error(), "line/other") || edge.HintOf(err) == "" {
			t.Errorf("got %v with hint %q, want the workload and a remedy", err, edge.HintOf(err))
		}
		r.want(2, "current", "line/digits 1 64", "line/more 1 64")
		// It was refused and not rolled back: with the image there it is taken.
		r.held = append(r.held, edge.Image{Digest: "sha256:" + strings.Repeat("2", 64)})
		if err := r.apply(3, "digits", strange); err != nil {
			t.Errorf("with the image there: %v", err)
		}
	})
	t.Run("DaemonAway", func(t *testing.T) {
		r.DaemonChanged(false)
		if err := r.apply(4, "third=line.example/x@sha256:"+strings.Repeat("3", 64)); err != nil {
			t.Errorf("what only containerd knows was held against the policy while it is away: %v", err)
		}
		r.want(4, "current", "line/third 1 64")
	})
	t.Run("Garbage", func(t *testing.T) {
		if _, err := r.Apply(t.Context(), []byte("{")); trust.ReasonOf(err) == "" {
			t.Errorf("got %v, want a reason", err)
		}
	})
}

// TestGovernor_Offline: what a policy stops while the node is cut off stands still, also where a command has said
// how many there are to be, and then is again what that said.
func TestGovernor_Offline(t *testing.T) {
	r := newHallRig(t, 0)
	cut := false
	r.cut = func() bool { return cut }
	r.adjust = newAdjustments(t.TempDir(), newWarnings(r.chronicle))
	if err := r.apply(1, "digits", "upload"); err != nil {
		t.Fatal(err)
	}
	now := r.store.Snapshot()
	now.Policy.Offline.Stop = []string{"upload"}
	if err := r.adjust.Set(t.Context(), tenureOf(now), now.Policy.Workloads[1], 3); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		cut  bool
		want string
	}{{false, "line/upload 3 64"}, {true, "line/upload 0 64"}, {false, "line/upload 3 64"}} {
		cut = step.cut
		r.redesire()
		r.want(1, "current", "line/digits 1 64", step.want)
	}
}

func TestGovernor_Trial(t *testing.T) {
	r := newHallRig(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	warn := func(code, subject string) { r.Warned(edge.Warning{Code: code, Subject: subject, Detail: "why"}) }

	warn("start-failed", "line/digits") // the factory policy has nothing before it
	if err := r.apply(2, "digits", "more"); err != nil {
		t.Fatal(err)
	}
	warn("teardown-failed", "line/more") // says nothing of the policy
	warn("start-failed", "line/digits")  // is as it was before
	r.DaemonChanged(false)
	warn("start-failed", "line/more") // is containerd's doing
	r.daemonUp = true
	if len(r.failed) > 0 {
		t.Fatal("the policy was given up for what it did not do")
	}
	warn("start-failed", "line/more")
	go func() { ended <- r.Run(ctx) }()
	for len(r.events(edge.EventPolicyRolledBack)) == 0 {
		if err := r.chronicle.Wait(ctx, r.chronicle.Since(0)[len(r.chronicle.Since(0))-1].Seq); err != nil {
			t.Fatal(err)
		}
	}
	for r.store.Snapshot().Version != 1 || len(r.events(edge.EventPolicyInForce)) < 3 {
		if err := r.chronicle.Wait(ctx, r.chronicle.Since(0)[len(r.chronicle.Since(0))-1].Seq); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	r.want(1, "factory", "line/digits 1 64")
	if got := r.events(edge.EventPolicyRolledBack); got[0] != "start-failed of workload line/more: why" {
		t.Errorf("got cause %q", got[0])
	}
	if err := r.apply(2, "digits", "more"); trust.ReasonOf(err) != policycache.ReasonRolledBack {
		t.Errorf("the same again: got %v, want %s", err, policycache.ReasonRolledBack)
	}
	if err := r.apply(3, "digits"); err != nil {
		t.Errorf("a higher version: %v", err)
	}
}

// policyOf decodes what policy signs.
func (r *hallRig) policyOf(version uint64, services ...string) *edge.Policy {
	r.t.Helper()
	opened, err := trust.Open(r.policy(version, services...))
	if err != nil {
		r.t.Fatal(err)
	}
	p, err := edge.DecodePolicy(opened.Payload)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// TestGovernor_TrialEnds is in virtual time: what fails after the trial is not taken
// for the policy's doing.
func TestGovernor_TrialEnds(t *testing.T) {
	r := newHallRig(t, 1)
	before, now := r.policyOf(1), r.policyOf(2, "digits", "camera")
	synctest.Test(t, func(t *testing.T) {
		g := &governor{failed: make(chan failure, 1), back: make(chan uint64, 1), store: r.store, log: r.log, length: r.length}
		g.supply = func(context.Context, *edge.Policy) error { return nil }
		ctx, cancel := context.WithCancel(t.Context())
		go g.Stock(ctx)
		defer cancel()
		start := func() {
			g.trial = trialOf(&policycache.Snapshot{Policy: now, Proven: before, Version: 2, Trial: &policycache.Trial{Failing: []string{"line/camera"}}}, g.length)
		}
		fail := func(code, subject string) { g.Warned(edge.Warning{Code: code, Subject: subject}) }
		want := func(failures int, why string) {
			t.Helper()
			if got := len(g.failed); got != failures {
				t.Errorf("got %d failures, want %d: %s", got, failures, why)
			}
			if len(g.failed) > 0 {
				<-g.failed
			}
		}
		g.DaemonChanged(true)
		synctest.Wait()
		start()
		fail("crash-loop", "line/camera")
		want(0, "it failed before the trial")
		time.Sleep(g.length + time.Second)
		fail("crash-loop", "line/digits")
		want(0, "the trial is over")
		start()
		g.DaemonChanged(false)
		fail("start-failed", "line/digits")
		want(0, "containerd is away")
		time.Sleep(time.Hour)
		g.DaemonChanged(true) // only now it can be seen what the policy does
		synctest.Wait()
		fail("crash-loop", "line/digits")
		want(1, "the trial went on when containerd was back")
		start()
		g.DaemonChanged(false)
		fail("spec-invalid", "line/digits")
		want(1, "containerd has no part in that")
	})
}

// TestGovernor_Flapping: containerd that goes while the stock is looked through is away.
func TestGovernor_Flapping(t *testing.T) {
	r := newHallRig(t, 1)
	looking, gone := make(chan struct{}), make(chan struct{})
	r.supply = func(context.Context, *edge.Policy) error {
		looking <- struct{}{}
		<-gone
		return edge.ErrUnavailable
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Stock(ctx) }()
	r.DaemonChanged(true)
	<-looking
	r.DaemonChanged(false)
	close(gone)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if r.daemonUp {
		t.Error("containerd counts as there, though it has gone")
	}
}

// TestGovernor_Proven: once its time is over a policy is what the next one is held
// against.
func TestGovernor_Proven(t *testing.T) {
	r := newHallRig(t, 1)
	if err := r.apply(2, "digits", "more"); err != nil {
		t.Fatal(err)
	}
	if !r.report().Trial {
		t.Error("a new policy is not on trial")
	}
	r.prove(t.Context())
	if !r.report().Trial {
		t.Error("the trial ended before its time")
	}
	if err := r.apply(2, "digits", "more"); err != nil || r.trial.version != 2 {
		t.Errorf("the same again: got error %v and trial %+v, want it to go on", err, r.trial)
	}
	r.trial.until = time.Now().Add(-time.Second)
	r.prove(t.Context())
	if r.report().Trial || r.store.Snapshot().Version != 2 {
		t.Errorf("got %+v, want version 2 proven", r.report())
	}
}

func TestGovernor_Apply_TakesTurns(t *testing.T) {
	r := newHallRig(t, 1)
	inside, leave := make(chan struct{}), make(chan struct{})
	r.supply = func(ctx context.Context, _ *edge.Policy) error {
		inside <- struct{}{}
		select {
		case <-leave:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	first, ended := context.WithCancel(t.Context())
	answers := make(chan error, maxWaiting+2)
	call := func(ctx context.Context) {
		_, err := r.Apply(ctx, r.policy(2, "digits"))
		answers <- err
	}
	go call(first)
	<-inside
	waiting, givenUp := context.WithCancel(t.Context())
	for range maxWaiting {
		go call(waiting)
	}
	for len(r.taking.waiting) < maxWaiting {
		goruntime.Gosched()
	}
	if _, err := r.Apply(t.Context(), r.policy(2, "digits")); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("one too many: got %v, want %v", err, edge.ErrUnavailable)
	}
	givenUp()
	for range maxWaiting {
		if err := <-answers; !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("who left the line: got %v", err)
		}
	}
	ended() // who is inside and leaves, leaves everything as it was
	if err := <-answers; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: got %v", err)
	}
	r.want(1, "factory", "line/digits 1 64")
}

func TestMain(m *testing.M) {
	// The policy cache checks its database in a child that is this very program.
	if len(os.Args) > 1 && os.Args[1] == CheckVerb {
		os.Exit(CheckMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}
