package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/release"
	"holdfast/edge/slots"
	"holdfast/edge/trust"
)

// wish is a release that somebody wants to run here.
type wish struct {
	release string // digest of what was signed; empty: whichever lies there
	sources []release.Source
	rate    int64  // bytes a second at most; 0: what there is
	origin  string // who wants it
	again   bool   // a version that was left here is to be tried anew
	resumes bool   // whoever wants it goes on wanting it over the agent's ends
}

// wishOf is what a policy or a command wants.
func (u *updater) wishOf(p edge.AgentPolicy, origin string) wish {
	w := wish{release: p.Release, rate: int64(p.Bandwidth), origin: origin}
	for _, base := range p.Sources {
		w.sources = append(w.sources, release.Web(base, u.client))
	}
	return w
}

// target is a release that was believed, and its program for this machine.
type target struct {
	release  string
	artifact edge.Artifact
	slots.Binary
}

// brought is how far a wish has come.
type brought struct {
	slots.Binary
	Slot string `json:"slot"`
	From string `json:"from,omitempty"` // the version before
	// switched: the agent is to start anew for it. Otherwise it runs already.
	switched bool
	trial    bool // it runs, and is on trial
}

// able says why the agent cannot be updated; nil: it can.
func (u *updater) able() error {
	switch {
	case u.started.Slot == "":
		return edge.WithHint(fmt.Errorf("cannot update the agent: it was not started by the launcher: %w", edge.ErrInvalid),
			"have the service manager run `holdfast launch` in place of `holdfast run`")
	case u.governor == nil:
		return edge.WithHint(fmt.Errorf("cannot update the agent: it believes nobody: %w", edge.ErrInvalid),
			"a root document says who may sign releases; see policy.root")
	}
	return nil
}

// bring has a release in its slot, tried on a copy, and switched to, unless it runs already.
// It is for one at a time. The caller has the agent start anew.
func (u *updater) bring(ctx context.Context, w wish, told func(edge.Progress)) (brought, error) {
	if err := u.able(); err != nil {
		return brought{}, err
	}
	if u.Report().Phase != "" {
		told(edge.Progress{Note: "waiting for another update that is under way"})
	}
	if err := u.taking.wait(ctx); err != nil {
		return brought{}, fmt.Errorf("cannot update the agent: %w", err)
	}
	defer u.taking.leave()
	defer u.set(func(r *edge.AgentReport) { r.Phase, r.Wanted, r.Origin, r.Done, r.Total = "", "", "", 0, 0 })
	u.set(func(r *edge.AgentReport) { r.Phase, r.Origin = edge.AgentSeeking, w.origin })
	t, err := u.find(ctx, w)
	if err != nil {
		u.ended(ctx, "", err)
		return brought{}, fmt.Errorf("cannot update the agent: %w", err)
	}
	if err := u.pardon(w, t); err != nil {
		return brought{}, err
	}
	if b, settled, err := u.settled(t); settled || err != nil {
		return b, err
	}
	b, err := u.install(ctx, w, t, told)
	if err != nil {
		u.ended(ctx, t.Version, err)
		err = fmt.Errorf("cannot update the agent to version %s: %w", t.Version, err)
		if ctx.Err() == nil && isFinal(err) {
			u.event(edge.EventAgentUpdateRefused, t.Binary, err.Error())
		}
	}
	return b, err
}

// find gets the release document and believes it, or knows what it says from before.
func (u *updater) find(ctx context.Context, w wish) (target, error) {
	if p := u.pursued(); w.release != "" && p.Release == w.release {
		state := u.state()
		_, bad := state.Badly(p.Binary.Digest)
		if bad && !u.anew(w, p.Release) || state.Slot(u.started.Slot).Digest == p.Binary.Digest {
			return target{release: p.Release, Binary: p.Binary}, nil
		}
	}
	envelope, err := release.Find(ctx, w.sources, w.release)
	if err != nil {
		return target{}, err
	}
	return u.believe(envelope)
}

// believe holds a release against whom the node trusts, what it has run, and what it is.
func (u *updater) believe(envelope []byte) (target, error) {
	root, state := u.root(), u.state()
	if root == nil {
		return target{}, fmt.Errorf("the policy cache is not open: %w", edge.ErrUnavailable)
	}
	// The slots keep the floor, beside what it is the floor of. Whoever stole a key and
	// got a release to run here has the node, whatever the floor says later.
	floors := trust.Floors{}.Raise(root, trust.RoleRelease, state.Floor)
	// The factory's program may stand in for one that knows all that the floor's knew.
	runs := trust.Runs{Platform: u.platform, Sequence: max(state.Slot(u.started.Slot).Sequence, state.Floor)}
	accepted, verified, err := trust.AcceptRelease(root, floors, runs, envelope)
	if err != nil {
		return target{}, err
	}
	sum := sha256.Sum256(verified.Payload)
	artifact := accepted.Artifacts[u.platform]
	return target{
		release: "sha256:" + hex.EncodeToString(sum[:]), artifact: artifact,
		Binary: slots.Binary{Version: accepted.Version, Sequence: accepted.Sequence, Digest: artifact.Digest, Size: artifact.Size},
	}, nil
}

// rejected is a version that was found bad here.
type rejected struct {
	slots.Binary
	why string
}

// Error says which, and why.
func (r *rejected) Error() string {
	return fmt.Sprintf("version %s was tried here and left: %s", r.Version, r.why)
}

// Unwrap: the same again will not do better.
func (r *rejected) Unwrap() error { return edge.ErrInvalid }

// Reason names it for programs.
func (r *rejected) Reason() string { return "version_rejected" }

// anew tells whether a wish is to try a version that was left here. What was left since the wish began is not.
func (u *updater) anew(w wish, release string) bool {
	p := u.pursued()
	return w.again && !(w.resumes && p.Release == release && p.Origin == w.origin)
}

// pardon takes back that a version was found bad, where somebody wants to see it tried anew.
func (u *updater) pardon(w wish, t target) error {
	if _, bad := u.state().Badly(t.Digest); !bad || !u.anew(w, t.release) {
		return nil
	}
	if err := u.slots.Pardon(t.Digest); err != nil {
		return fmt.Errorf("cannot try version %s again: %w", t.Version, err)
	}
	u.warnings.Clear(codeFellBack, t.Version)
	return nil
}

// settled tells whether there is nothing to do for a release: it runs, or was found bad, or
// another is on trial.
func (u *updater) settled(t target) (b brought, done bool, err error) {
	state := u.look()
	if bad, is := state.Badly(t.Digest); is {
		return brought{}, true, edge.WithHint(&rejected{t.Binary, bad.Reason}, "if that was not its fault, have it tried again (update --again); else sign a release of a corrected program")
	}
	next := state.Slot(state.Active)
	switch {
	case next.Digest == t.Digest && state.Active == u.started.Slot:
		return brought{Binary: next.Binary, Slot: string(u.started.Slot), From: u.pursued().From, trial: state.OnTrial()}, true, nil
	case state.OnTrial():
		return brought{}, true, fmt.Errorf("cannot update the agent to version %s: version %s is on trial: %w", t.Version, state.Version(state.Active), edge.ErrUnavailable)
	case next.Digest == t.Digest:
		b, err := u.startOnce(state)
		return b, true, err
	}
	return brought{}, false, nil
}

// startOnce has the agent start anew for the version that should run, and that something which
// passes kept from it: a slow disk, or too little memory. Once since the machine was started.
func (u *updater) startOnce(state slots.State) (brought, error) {
	next := state.Slot(state.Active)
	mark := filepath.Join(u.staging, "started-anew")
	if last, _ := boltfile.ReadBounded(mark, int64(len(next.Digest))); string(last) == next.Digest {
		return brought{}, fmt.Errorf("cannot start version %s: it did not start when it was tried: %w", next.Version, edge.ErrUnavailable)
	}
	if err := os.WriteFile(mark, []byte(next.Digest), 0o600); err != nil {
		return brought{}, fmt.Errorf("cannot start version %s: %w: %w", next.Version, edge.ErrUnavailable, err)
	}
	return brought{Binary: next.Binary, Slot: string(state.Active), From: u.version, switched: true}, nil
}

// install has the program in a slot, tried, and switched to.
func (u *updater) install(ctx context.Context, w wish, t target, told func(edge.Progress)) (brought, error) {
	u.event(edge.EventAgentUpdateBegan, t.Binary, w.origin)
	slot, err := u.adopt(ctx, w, t, told)
	if err != nil {
		return brought{}, err
	}
	told(edge.Progress{Note: "trying it on a copy of the store"})
	u.set(func(r *edge.AgentReport) { r.Phase = edge.AgentTesting })
	if err := u.calm(ctx); err != nil {
		return brought{}, err
	}
	if err := u.selfTest(ctx, t, u.slots.Path(slot)); err != nil {
		var failed *rejected
		if errors.As(err, &failed) {
			err = errors.Join(err, u.slots.Reject(slot, failed.why))
		}
		return brought{}, err
	}
	if err := ctx.Err(); err != nil {
		return brought{}, context.Cause(ctx)
	}
	p := pursuit{Release: t.release, Binary: t.Binary, Origin: w.origin, From: u.version, Before: u.standing()}
	if err := errors.Join(u.pursue(p), u.slots.Switch(slot)); err != nil {
		return brought{}, err
	}
	u.event(edge.EventAgentUpdateTried, t.Binary, w.origin)
	return brought{Binary: t.Binary, Slot: string(slot), From: u.version, switched: true}, nil
}

// adopt has the program in a slot: the one that lies there from an earlier attempt, or one
// that is fetched.
func (u *updater) adopt(ctx context.Context, w wish, t target, told func(edge.Progress)) (slots.Name, error) {
	state := u.state()
	for _, name := range []slots.Name{slots.A, slots.B} {
		if there := state.Slot(name); there.Binary == t.Binary && there.Fault == "" {
			return name, nil
		}
	}
	if err := u.slots.Check(t.Binary); err != nil {
		return "", err
	}
	path, _, err := u.slots.Incoming()
	if err != nil {
		return "", err
	}
	u.set(func(r *edge.AgentReport) { r.Phase, r.Wanted = edge.AgentFetching, t.Version })
	if err := u.fetch(ctx, w, t, path, told); err != nil {
		if ctx.Err() == nil && isFinal(err) {
			err = errors.Join(err, removed(path))
		}
		return "", err // what has come serves the next try, whoever makes it
	}
	return u.slots.Adopt(ctx, t.Binary)
}

func removed(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// fetch brings what is missing of the program into the file.
func (u *updater) fetch(ctx context.Context, w wish, t target, path string, told func(edge.Progress)) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|waitForNobody, 0o755) //nolint:gosec // it is a program
	if err != nil {
		return fmt.Errorf("cannot keep program: %w", err)
	}
	defer file.Close()
	if _, err := checkRegular(file); err != nil {
		return fmt.Errorf("cannot keep program: %w", err)
	}
	if err := u.room(ctx, u.started.Dir, release.Missing(t.artifact, file)); err != nil {
		return err
	}
	told = paced(told)
	err = release.Download{
		Name: edge.ArtifactFile(u.platform), Artifact: t.artifact, Sources: w.sources,
		Rate: func() int64 { return w.rate },
		Told: func(done, total int64) {
			u.set(func(r *edge.AgentReport) { r.Done, r.Total = done, total })
			told(edge.Progress{Done: done, Total: total, Unit: "bytes"})
		},
		Amiss: func(source string, err error) {
			u.log.Warn("release-source-amiss", "source", source, "error", err.Error())
		},
	}.Fetch(ctx, file)
	return errors.Join(err, file.Close())
}

// roomFor tells whether so many bytes more may be written beside the slots, and removes
// images that nothing needs if that helps.
func (a *Agent) roomFor(ctx context.Context, folder string, need int64) error {
	lacks := func() error {
		now, err := lookAt(folder)
		if err != nil {
			return fmt.Errorf("cannot measure the disk: %w", err)
		}
		if kept, _ := now.reserved(a.pressure.reserve); now.free < kept+uint64(need) {
			return edge.WithHint(fmt.Errorf("%w for the program: %d bytes are free in %s, and %d are needed beside the %d that are kept free", edge.ErrNoRoom, now.free, folder, need, kept),
				"remove what is not needed; it is tried again")
		}
		return nil
	}
	err := lacks()
	if a.pressure.makeRoom(ctx, err) {
		err = lacks()
	}
	return err
}

// event tells of a step.
func (u *updater) event(kind edge.EventKind, b slots.Binary, cause string) {
	u.chronicle.Add(edge.Event{Kind: kind, Subject: b.Version, Cause: cause, Facts: map[string]string{
		"sequence": fmt.Sprint(b.Sequence), "digest": b.Digest, "from": u.version, "slot": string(u.started.Slot),
	}})
}

// awaitVerdict waits until the trial of the version that runs is over. That it was found bad
// ends the agent, and with it ctx.
func (u *updater) awaitVerdict(ctx context.Context, told func(edge.Progress)) error {
	ticker := time.NewTicker(paceEvery)
	defer ticker.Stop()
	for u.look().OnTrial() {
		note := "on trial"
		if report := u.Report(); report.Unwell != "" {
			note += ": " + report.Unwell
		}
		told(edge.Progress{Note: note})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}
