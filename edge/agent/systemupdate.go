package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/rauc"
	"holdfast/edge/release"
)

// systemUpdater has RAUC bring the whole system below the agent to another version, and says
// what became of it after the machine has started anew.
//
//	wish ─ fetch ─▶ believed by rauc ─▶ rauc install ─▶ kept: installed ─▶ drain ─▶ systemctl reboot
//	(policy, command, local API)                                                     │
//	                  confirmed ◀── called good ── runs ◀── another boot ◀───────────┘
//	                  rejected  ◀────────── the former system runs ◀──┘
//
// What is kept in system.json is written before each step that the agent may not outlive, so
// the next start knows from it, from the boot's id and from rauc where it was.
type systemUpdater struct {
	rauc     installer
	governor *governor // nil: no policy wishes anything
	folder   string    // for bundles that are brought
	path     string    // of what is kept
	boot     string
	release  []string // files that say what the system is, the first that is there
	client   *http.Client
	room     func(ctx context.Context, folder string, need int64) error
	reboot   func(ctx context.Context) error
	drain    func(ctx context.Context) error
	undrain  func()
	drained  func() bool
	calm     func(ctx context.Context) error // waits until a restart is held against nobody
	trial    func() bool                     // the agent's own version is on trial
	allowed  func() bool                     // the fleet may have the machine started anew

	chronicle *chronicle
	warnings  *warnings
	log       *slog.Logger

	taking   turn          // of one update at a time, the agent's own too
	changed  chan struct{} // capacity 1: there is something to look at
	restarts chan struct{} // capacity 1: somebody who does not wait wants the restart

	keeping sync.Mutex // held while what is kept changes

	mu     sync.Mutex // guards what follows
	report *edge.SystemReport
}

// installer is rauc.
type installer interface {
	Missing() error
	Status(ctx context.Context) (rauc.Status, error)
	Describe(ctx context.Context, path string) (rauc.Bundle, error)
	Install(ctx context.Context, path string, told func(percent int, step string)) error
}

var _ installer = (*rauc.Tool)(nil)

// systemFile is what is kept, in the state folder.
const systemFile = "system.json"

// newSystemUpdater makes what updates the system. It touches no file.
func (a *Agent) newSystemUpdater(c config.Config) *systemUpdater {
	return &systemUpdater{
		rauc: rauc.New("", withoutManager(a.options.Environ)), governor: a.governor,
		folder: c.Paths.State, path: filepath.Join(c.Paths.State, systemFile), boot: a.boot,
		release: []string{"/etc/os-release", "/usr/lib/os-release"},
		client:  release.NewClient(func() time.Time { return later(time.Now(), a.clockFloor()) }),
		// Nothing but the service manager will do: a machine whose system is replaced has one.
		room: a.roomFor, reboot: askForReboot,
		drain: func(ctx context.Context) error { return a.scheduler.Drain(ctx) }, undrain: func() { a.scheduler.Undrain() },
		drained: func() bool { return a.scheduler.Glance(0).Report.Draining },
		calm:    func(ctx context.Context) error { return a.updater.calm(ctx) },
		trial:   func() bool { return a.updater.Report().Trial },
		allowed: func() bool { return a.config.Load().Link.Reboot == "allow" },

		chronicle: a.chronicle, warnings: a.warnings, log: a.options.Log,
		taking: a.updater.taking, changed: make(chan struct{}, 1), restarts: make(chan struct{}, 1),
	}
}

// Run finds out what became of the last update, and follows those who may want another,
// until ctx ends.
func (u *systemUpdater) Run(ctx context.Context) error {
	services := []service{{"verdict", u.settle}, {"restart", u.followRestarts}}
	if u.governor != nil {
		services = append(services, service{"policy", u.followPolicy})
	}
	defer u.client.CloseIdleConnections()
	return runServices(ctx, services)
}

// Report is how the system stands; nil where nothing installs any.
func (u *systemUpdater) Report() *edge.SystemReport {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.report == nil {
		return nil
	}
	r := *u.report
	r.Rejected = slices.Clone(r.Rejected)
	return &r
}

func (u *systemUpdater) set(change func(*edge.SystemReport)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.report == nil {
		u.report = &edge.SystemReport{}
	}
	change(u.report)
}

func (u *systemUpdater) phase(p edge.SystemPhase, done, total int64) {
	u.set(func(r *edge.SystemReport) { r.Phase, r.Done, r.Total = p, done, total })
}

// nudge has the system looked at soon.
func (u *systemUpdater) nudge() {
	select {
	case u.changed <- struct{}{}:
	default:
	}
}

// event tells of a step.
func (u *systemUpdater) event(kind edge.EventKind, version, cause string, p *systemPursuit) {
	facts := map[string]string{"from": p.From, "digest": p.Digest, "slot": p.Slot, "origin": p.Origin}
	for name, fact := range facts {
		if fact == "" {
			delete(facts, name)
		}
	}
	u.chronicle.Add(edge.Event{Kind: kind, Subject: cmp.Or(version, p.Bundle), Cause: cause, Facts: facts})
}

// running is what runs, and its version: as rauc has installed it, else as it says of itself
// in IMAGE_VERSION.
func (u *systemUpdater) running(s rauc.Status) (rauc.Slot, error) {
	slot, is := s.Booted()
	if !is {
		return slot, edge.WithHint(fmt.Errorf("rauc does not know which system runs: %w", edge.ErrInvalid),
			"the loader has to tell it (rauc.slot=NAME on the kernel's command line); see rauc status")
	}
	slot.Version = cmp.Or(slot.Version, imageVersion(u.release))
	return slot, nil
}

// imageVersion is what a system says of itself; empty: nothing.
func imageVersion(files []string) string {
	const most = 64 << 10
	for _, file := range files {
		text, err := readRegular(file, most)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if value, is := strings.CutPrefix(strings.TrimSpace(line), "IMAGE_VERSION="); is {
				return strings.Trim(value, `"'`)
			}
		}
		return ""
	}
	return ""
}

// warnIf raises a warning, or ends it.
func (u *systemUpdater) warnIf(is bool, w edge.Warning) {
	if is {
		u.warnings.Raise(w)
	} else {
		u.warnings.Clear(w.Code, w.Subject)
	}
}

// Codes of warnings about the system.
const (
	codeSystemWaits       = "system-update-waiting"
	codeSystemRefused     = "system-update-refused"
	codeSystemRestart     = "system-restart-needed"
	codeSystemUnconfirmed = "system-unconfirmed"
	codeSystemFellBack    = "system-fell-back"
)

// rejectedSystem is a version that was found not to stay here.
type rejectedSystem struct{ edge.RejectedSystem }

// Error says which, and why.
func (r *rejectedSystem) Error() string {
	return fmt.Sprintf("version %s of the system was tried here and did not stay: %s", r.Version, r.Why)
}

// Unwrap: the same again will not do better.
func (r *rejectedSystem) Unwrap() error { return edge.ErrInvalid }

// Reason names it for programs.
func (r *rejectedSystem) Reason() string { return "system_rejected" }

func rejection(r edge.RejectedSystem) error {
	return edge.WithHint(&rejectedSystem{r}, "if that was not its fault, have it tried again (--again); else make a bundle of a corrected system, with another version")
}

// removedFile removes a file that may be gone.
func removedFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
