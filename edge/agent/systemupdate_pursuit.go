package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/rauc"
)

// systemPursuit is what an update of the system is about, kept over the ends of the agent and
// of the machine.
type systemPursuit struct {
	Stage    systemStage `json:"stage,omitempty"`
	Bundle   string      `json:"bundle,omitempty"`
	Version  string      `json:"version,omitempty"`
	Digest   string      `json:"digest,omitempty"`
	Origin   string      `json:"origin,omitempty"`   // who wanted it
	From     string      `json:"from,omitempty"`     // the version before
	FromSlot string      `json:"fromSlot,omitempty"` // and where it lies
	Slot     string      `json:"slot,omitempty"`     // where the new one lies
	Boot     string      `json:"boot,omitempty"`     // that the stage began in
	// CutOff counts the boots that ended while rauc installed it.
	CutOff   int                   `json:"cutOff,omitempty"`
	Last     *edge.SystemOutcome   `json:"last,omitempty"`
	Rejected []edge.RejectedSystem `json:"rejected,omitempty"` // the latest last
}

// systemStage is how far it has come.
type systemStage string

const (
	systemInstalling systemStage = "installing"
	systemInstalled  systemStage = "installed" // it is what the machine starts in next
	systemRuns       systemStage = "runs"      // it was called good
	systemBack       systemStage = "back"      // the former one runs
)

const (
	maxSystemFile     = 64 << 10
	maxSystemDepth    = 4
	maxRejectedSystem = 16
	// maxCutOff is how many boots may end in the middle of one installation before it is
	// taken to be the reason.
	maxCutOff = 3
)

// pursued reads what is kept; nothing where there is nothing, or nothing that can be read.
func (u *systemUpdater) pursued() *systemPursuit {
	p := &systemPursuit{}
	text, err := readRegular(u.path, maxSystemFile)
	if err == nil {
		_, err = edge.DecodeJSON(text, edge.JSONBounds{Size: maxSystemFile, Depth: maxSystemDepth}, p)
	}
	if err == nil {
		return p
	}
	if !errors.Is(err, fs.ErrNotExist) {
		u.log.Warn("system-pursuit-unreadable", "error", err.Error())
	}
	return &systemPursuit{}
}

// keep changes what is kept, on flash before it returns.
func (u *systemUpdater) keep(change func(*systemPursuit)) (*systemPursuit, error) {
	u.keeping.Lock()
	defer u.keeping.Unlock()
	p := u.pursued()
	change(p)
	p.Rejected = p.Rejected[max(0, len(p.Rejected)-maxRejectedSystem):]
	text, err := json.Marshal(p)
	if err == nil {
		err = boltfile.Replace(boltfile.RealDisk{}, u.path, text)
	}
	if err != nil {
		return p, fmt.Errorf("cannot keep what the update of the system is about: %w: %w", edge.ErrUnavailable, err)
	}
	return p, nil
}

// is tells whether it is about a bundle. What names no digest is known by its version alone.
func (p *systemPursuit) is(version, digest string) bool {
	return p.Version != "" && p.Version == version && sameDigest(p.Digest, digest)
}

func sameDigest(a, b string) bool { return a == "" || b == "" || a == b }

// badly tells whether a version did not stay here.
func (p *systemPursuit) badly(version, digest string) (edge.RejectedSystem, bool) {
	for _, bad := range p.Rejected {
		if bad.Version == version && sameDigest(bad.Digest, digest) {
			return bad, true
		}
	}
	return edge.RejectedSystem{}, false
}

// pardon forgets that a version did not stay.
func (p *systemPursuit) pardon(version, digest string) {
	p.Rejected = slices.DeleteFunc(p.Rejected, func(bad edge.RejectedSystem) bool {
		return bad.Version == version && sameDigest(bad.Digest, digest)
	})
}

func (p *systemPursuit) reject(why string) {
	p.pardon(p.Version, p.Digest)
	p.Stage = systemBack
	p.Rejected = append(p.Rejected, edge.RejectedSystem{Version: p.Version, Digest: p.Digest, Why: why})
	p.Last = &edge.SystemOutcome{Version: p.Version, From: p.From, Why: why, At: time.Now().UTC()}
}

// systemVerdict is what can be said of the last update.
type systemVerdict int

const (
	verdictNone    systemVerdict = iota // nothing was to run, or it was said already
	verdictWaits                        // it is installed, and the machine has not started anew
	verdictOnTrial                      // it runs, and nobody has called it good
	verdictStays                        // it runs, and is good
	verdictBack                         // it was to run, and the former one does
)

// judge says what became of the last update, on this boot.
func (p *systemPursuit) judge(boot string, running rauc.Slot) systemVerdict {
	anew := p.Boot != boot
	stage, slot := p.Stage, p.Slot
	if stage == systemInstalling && anew && running.Version == p.Version && running.Word() != p.FromSlot {
		stage, slot = systemInstalled, running.Word() // the power failed before it could be written down
	}
	switch {
	case stage == systemInstalled && !anew:
		return verdictWaits
	case stage == systemInstalled && running.Word() != slot:
		return verdictBack
	case stage == systemInstalled && running.Good:
		return verdictStays
	case stage == systemInstalled:
		return verdictOnTrial
	case stage == systemRuns && anew && running.Word() == p.FromSlot && running.Version == p.From:
		return verdictBack // it was good for a while
	}
	return verdictNone
}

const (
	// confirmEvery is how often a system on trial is looked at.
	confirmEvery = 2 * time.Second
	// raucAgain is how long after rauc did not tell it is asked again: first, and at most.
	raucAgain  = 2 * time.Second
	raucSeldom = time.Minute
	// unconfirmedAfter is how long after the agent's start a system should have been called
	// good: the gateway's units do it as soon as the agent is ready.
	unconfirmedAfter = 10 * time.Minute
)

// settle says how the system stands whenever that may have changed, and what became of the
// last update.
func (u *systemUpdater) settle(ctx context.Context) error {
	began, wait := time.Now(), raucAgain
	for {
		next := time.Duration(0)
		var again <-chan time.Time
		switch verdict, err := u.look(ctx, time.Since(began) > unconfirmedAfter); {
		case err != nil:
			next = wait
			wait = min(2*wait, raucSeldom)
		case verdict == verdictOnTrial:
			next = confirmEvery
		}
		if next > 0 {
			again = time.After(next)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-u.changed:
			wait = raucAgain
		case <-again:
		}
	}
}

// look asks rauc how the system stands, and says what became of the last update.
func (u *systemUpdater) look(ctx context.Context, late bool) (systemVerdict, error) {
	if u.rauc.Missing() != nil {
		return verdictNone, nil
	}
	s, err := u.rauc.Status(ctx)
	var running rauc.Slot
	if err == nil {
		running, err = u.running(s)
	}
	if ctx.Err() != nil {
		return verdictNone, nil
	}
	if errors.Is(err, rauc.ErrUndescribed) {
		return verdictNone, nil // as without rauc: Debian's package alone installs nothing
	}
	if err != nil {
		u.set(func(r *edge.SystemReport) { r.Trouble = err.Error() })
		return verdictNone, err
	}
	p := u.pursued()
	verdict := p.judge(u.boot, running)
	if verdict == verdictStays || verdict == verdictBack {
		if p, err = u.conclude(verdict, running); err != nil {
			return verdict, err
		}
	}
	if verdict == verdictOnTrial && p.Stage == systemInstalling {
		if p, err = u.keep(func(p *systemPursuit) { p.Stage, p.Slot = systemInstalled, running.Word() }); err != nil {
			return verdict, err
		}
	}
	u.tell(p, verdict, running)
	u.warn(p, verdict, late)
	return verdict, nil
}

// conclude keeps, once, how an update ended, and makes an event of it.
func (u *systemUpdater) conclude(verdict systemVerdict, running rauc.Slot) (*systemPursuit, error) {
	why := fmt.Sprintf("after a start of the machine the former system runs, version %s in %s: the loader went back to it", running.Version, running.Word())
	p, err := u.keep(func(p *systemPursuit) {
		if verdict == verdictBack {
			p.reject(why)
			return
		}
		p.Stage, p.Slot = systemRuns, running.Word()
		p.Last = &edge.SystemOutcome{Version: p.Version, From: p.From, Runs: true, At: time.Now().UTC()}
	})
	switch {
	case err != nil:
	case verdict == verdictBack:
		u.event(edge.EventSystemFellBack, p.Version, why, p)
	default:
		u.event(edge.EventSystemUpdateConfirmed, p.Version, "it runs, and was called good", p)
	}
	return p, err
}

// tell takes into the report how the system stands.
func (u *systemUpdater) tell(p *systemPursuit, verdict systemVerdict, running rauc.Slot) {
	u.set(func(r *edge.SystemReport) {
		r.Version, r.Slot, r.Trouble = running.Version, running.Word(), ""
		r.Trial = verdict == verdictOnTrial
		r.Waiting, r.Last, r.Rejected = "", p.Last, p.Rejected
		if verdict == verdictWaits {
			r.Waiting = p.Version
		}
		if r.Trial && r.Phase == "" {
			r.Phase, r.Wanted = edge.SystemConfirming, p.Version
		} else if !r.Trial && r.Phase == edge.SystemConfirming {
			r.Phase, r.Wanted = "", ""
		}
	})
}

// warn says what somebody should see to.
func (u *systemUpdater) warn(p *systemPursuit, verdict systemVerdict, late bool) {
	const machine = "machine"
	u.warnIf(verdict == verdictWaits && u.Report().Phase == "", edge.Warning{
		Code: codeSystemRestart, Subject: machine,
		Detail: fmt.Sprintf("version %s of the system is installed, and %s runs until the machine starts anew", p.Version, p.From),
		Remedy: "start it anew: systemctl reboot, or have the fleet do it (link.reboot: allow on the node)",
	})
	u.warnIf(verdict == verdictOnTrial && late, edge.Warning{
		Code: codeSystemUnconfirmed, Subject: machine,
		Detail: fmt.Sprintf("version %s of the system runs, and nobody has called it good: after some more starts the loader goes back to %s", p.Version, p.From),
		Remedy: "find out why the unit that runs `rauc status mark-good` did not; where all is well, run that",
	})
	u.warnIf(p.Stage == systemBack, edge.Warning{
		Code: codeSystemFellBack, Subject: machine,
		Detail: fmt.Sprintf("version %s of the system did not stay, %s runs", p.Version, p.From),
		Remedy: "look at the console of its start; make a bundle of a corrected system, with another version; this one is not tried here again, but by --again",
	})
}
