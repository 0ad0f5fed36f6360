package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/rauc"
)

// twoSystems stands for rauc on a disk with two systems, A and B, and for the loader.
type twoSystems struct {
	booted, primary string
	good            map[string]bool
	versions        map[string]string
	bundle          rauc.Bundle

	missing, unknown error // no rauc; a bundle that is not believed
	undescribed      error // rauc is told of no systems
	busy             int   // questions it does not answer
	install          func() error
	installs         int
	torn             bool // the last answer while it is busy is half of before
	idle             bool // it says that it has installed, and has not
}

func (s *twoSystems) Missing() error { return s.missing }

func (s *twoSystems) Status(context.Context) (rauc.Status, error) {
	if s.undescribed != nil {
		return rauc.Status{}, s.undescribed
	}
	if s.busy > 0 {
		if s.busy--; s.busy == 0 && s.torn {
			return rauc.StatusOf(s.booted, rauc.Slot{Name: s.booted, Bootname: s.booted, Booted: true, Version: s.versions[s.booted]}), nil
		}
		return rauc.Status{}, fmt.Errorf("already processing: %w", edge.ErrUnavailable)
	}
	var slots []rauc.Slot
	for _, name := range []string{"B", "A"} {
		slots = append(slots, rauc.Slot{Name: name, Bootname: name, Booted: s.booted == name, Good: s.good[name], Version: s.versions[name]})
	}
	return rauc.StatusOf(s.primary, slots...), nil
}

func (s *twoSystems) Describe(context.Context, string) (rauc.Bundle, error) {
	return s.bundle, s.unknown
}

func (s *twoSystems) other() string { return map[string]string{"A": "B", "B": "A"}[s.booted] }

// Install writes it and has it started next, unless install fails.
func (s *twoSystems) Install(_ context.Context, _ string, told func(int, string)) error {
	s.installs++
	told(40, "Verifying signature done.")
	if s.install != nil {
		if err := s.install(); err != nil {
			return err
		}
	}
	if !s.idle {
		s.written()
	}
	return nil
}

func (s *twoSystems) written() {
	s.primary, s.versions[s.other()], s.good[s.other()] = s.other(), s.bundle.Version, false
}

// systemBench is a system updater over a machine that the test starts anew.
type systemBench struct {
	*testing.T
	*systemUpdater
	disk    *twoSystems
	file    string
	digest  string
	reboots int
	events  *chronicle
	open    bool // tasks are let in
}

func newSystemBench(t *testing.T) *systemBench {
	t.Helper()
	b := &systemBench{T: t, open: true, events: newChronicle(slog.New(slog.DiscardHandler)), disk: &twoSystems{
		booted: "A", primary: "A", good: map[string]bool{"A": true}, versions: map[string]string{"A": "1"}, bundle: rauc.Bundle{Compatible: "x", Version: "2"},
	}}
	folder := t.TempDir()
	b.file = filepath.Join(folder, "b.raucb")
	if err := os.WriteFile(b.file, []byte("bundle"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("bundle"))
	b.digest = "sha256:" + hex.EncodeToString(sum[:])
	b.systemUpdater = &systemUpdater{folder: folder, path: filepath.Join(folder, systemFile), boot: "boot-1"}
	b.anew("boot-1")
	return b
}

// anew is the next start of the agent, on a boot of the machine.
func (b *systemBench) anew(boot string) {
	log := slog.New(slog.DiscardHandler)
	b.open = true
	b.systemUpdater = &systemUpdater{
		rauc: b.disk, folder: b.folder, path: b.path, boot: boot,
		room:   func(context.Context, string, int64) error { return nil },
		reboot: func(context.Context) error { b.reboots++; return nil },
		drain:  func(context.Context) error { b.open = false; return nil }, undrain: func() { b.open = true }, drained: func() bool { return !b.open },
		calm: func(context.Context) error { return nil }, trial: func() bool { return false }, allowed: func() bool { return true },
		chronicle: b.events, warnings: newWarnings(b.events), log: log,
		taking: newTurn(), changed: make(chan struct{}, 1), restarts: make(chan struct{}, 1),
	}
}

// boots starts the machine anew in a system.
func (b *systemBench) boots(in, boot string, good bool) {
	b.disk.booted, b.disk.primary = in, in
	b.disk.good[in] = good
	b.anew(boot)
}

func (b *systemBench) wish() systemWish {
	return systemWish{SystemPolicy: edge.SystemPolicy{Version: "2", Bundle: b.file, Digest: b.digest}, origin: "command one", resumes: true}
}

// running has the updater watch over what becomes of it, until the test is over.
func (b *systemBench) running() {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	u := b.systemUpdater
	go func() { ended <- u.settle(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	synctest.Wait()
}

func (b *systemBench) get(w systemWish) (edge.SystemUpdate, error) {
	done, err := b.bring(b.Context(), w, func(edge.Progress) {})
	synctest.Wait() // what watches beside it sees the same
	return done, err
}

func (b *systemBench) wantEvents(want ...edge.EventKind) {
	b.Helper()
	var got []edge.EventKind
	for _, e := range b.events.Since(0) {
		if e.Kind != edge.EventWarningRaised && e.Kind != edge.EventWarningCleared {
			got = append(got, e.Kind)
		}
	}
	if !slices.Equal(got, want) {
		b.Errorf("events are %v, want %v", got, want)
	}
}

func (b *systemBench) wantWarnings(want ...string) {
	b.Helper()
	var got []string
	for _, w := range b.warnings.All() {
		got = append(got, w.Code)
	}
	if !slices.Equal(got, want) {
		b.Errorf("warnings are %q, want %q", got, want)
	}
}

const (
	began     = edge.EventSystemUpdateBegan
	installed = edge.EventSystemUpdateInstalled
	confirmed = edge.EventSystemUpdateConfirmed
	fellBack  = edge.EventSystemFellBack
	refusedIt = edge.EventSystemUpdateRefused
)

func TestSystemUpdater(t *testing.T) {
	run := func(name string, test func(b *systemBench)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(newSystemBench(t)) })
		})
	}
	run("Undescribed", func(b *systemBench) {
		b.disk.undescribed = rauc.ErrUndescribed
		if verdict, err := b.look(b.Context(), false); verdict != verdictNone || err != nil || b.Report() != nil {
			b.Errorf("got %v, %v, %+v; want nothing to be said, as without rauc", verdict, err, b.Report())
		}
		b.disk.undescribed, b.disk.busy = nil, 1
		if _, err := b.look(b.Context(), false); err == nil || b.Report() == nil || b.Report().Trouble == "" {
			b.Errorf("got %v, %+v; want its trouble to be told", err, b.Report())
		}
	})
	run("InstalledAndRuns", func(b *systemBench) {
		got, err := b.get(b.wish())
		if err != nil || got != (edge.SystemUpdate{Version: "2", From: "1", Slot: "B"}) {
			b.Fatalf("got %+v, %v", got, err)
		}
		b.running()
		b.wantWarnings(codeSystemRestart)
		if r := b.Report(); r.Waiting != "2" || r.Version != "1" {
			b.Errorf("before the restart it reports %+v", r)
		}
		b.boots("B", "boot-2", false)
		b.running()
		if r := b.Report(); !r.Trial || r.Phase != edge.SystemConfirming || r.Version != "2" {
			b.Errorf("before it is called good it reports %+v", r)
		}
		b.wantEvents(began, installed)
		b.disk.good["B"] = true
		if got, err := b.get(b.wish()); err != nil || got != (edge.SystemUpdate{Version: "2", From: "1", Slot: "B", Runs: true}) {
			b.Errorf("the command goes on: %+v, %v", got, err)
		}
		if r := b.Report(); r.Trial || r.Phase != "" || r.Last == nil || !r.Last.Runs || r.Last.From != "1" {
			b.Errorf("it reports %+v", r)
		}
		b.wantEvents(began, installed, confirmed)
		b.wantWarnings()
		if b.disk.installs != 1 {
			b.Errorf("it was installed %d times", b.disk.installs)
		}
	})
	run("TheFormerCameBack", func(b *systemBench) {
		_, err := b.get(b.wish())
		b.must(err)
		b.boots("A", "boot-4", true)
		b.running()
		_, err = b.get(b.wish())
		var rejected *rejectedSystem
		if !errors.As(err, &rejected) || rejected.Reason() != "system_rejected" || !strings.Contains(err.Error(), "the former system runs, version 1 in A") {
			b.Errorf("the command goes on: %v", err)
		}
		b.wantWarnings(codeSystemFellBack)
		b.anew("boot-5") // told once
		b.running()
		b.wantEvents(began, installed, fellBack, refusedIt)
		other := b.wish()
		other.origin, other.Digest = "policy p version 2", ""
		if _, err := b.get(other); !errors.As(err, &rejected) {
			b.Errorf("somebody else wants it: %v", err)
		}
		other.again = true
		if got, err := b.get(other); err != nil || got.Slot != "B" || b.disk.installs != 2 {
			b.Errorf("tried again: %+v, %v", got, err)
		}
	})
	run("AgainIsOnce", func(b *systemBench) {
		w := b.wish()
		w.again = true
		_, err := b.get(w)
		b.must(err)
		b.boots("A", "boot-2", true)
		b.running()
		if _, err := b.get(w); err == nil || b.disk.installs != 1 {
			b.Errorf("the same command tries what it left: %v, %d installs", err, b.disk.installs)
		}
	})
	run("CameBackLater", func(b *systemBench) {
		_, err := b.get(b.wish())
		b.must(err)
		b.boots("B", "boot-2", true)
		b.running()
		b.boots("A", "boot-3", true)
		b.running()
		b.wantEvents(began, installed, confirmed, fellBack)
	})
	run("AgentStartsAnewBeforeTheRestart", func(b *systemBench) {
		_, err := b.get(b.wish())
		b.must(err)
		b.anew("boot-1")
		b.running()
		b.wantEvents(began, installed)
		if got, err := b.get(b.wish()); err != nil || got.Runs || got.Slot != "B" || b.disk.installs != 1 {
			b.Errorf("got %+v, %v after %d installs", got, err, b.disk.installs)
		}
		b.wantEvents(began, installed)
	})
	run("AgentKilledWhileRaucInstalls", func(b *systemBench) {
		ctx, cancel := context.WithCancel(b.Context())
		b.disk.install = func() error { cancel(); return context.Canceled }
		if _, err := b.bring(ctx, b.wish(), func(edge.Progress) {}); !errors.Is(err, context.Canceled) {
			b.Fatal(err)
		}
		b.anew("boot-1")
		b.disk.busy, b.disk.torn = 20, true // rauc's service goes on
		b.disk.written()
		if got, err := b.get(b.wish()); err != nil || got.Slot != "B" || b.disk.installs != 1 {
			b.Errorf("got %+v, %v after %d installs", got, err, b.disk.installs)
		}
		b.wantEvents(began, installed)
	})
	run("PowerFailsWhileRaucInstalls", func(b *systemBench) {
		for boot := range maxCutOff + 1 {
			b.boots("A", fmt.Sprint("boot-", boot), true)
			b.disk.install = func() error { panic("the power fails") }
			func() {
				defer func() { _ = recover() }()
				_, _ = b.get(b.wish())
			}()
			b.taking = newTurn()
		}
		_, err := b.get(b.wish())
		if err == nil || !strings.Contains(err.Error(), "3 times the machine started anew") || b.disk.installs != maxCutOff {
			b.Errorf("got %v after %d installs", err, b.disk.installs)
		}
	})
	run("PowerFailsBeforeItIsWrittenDown", func(b *systemBench) {
		ctx, cancel := context.WithCancel(b.Context())
		b.disk.install = func() error { cancel(); return context.Canceled }
		_, _ = b.bring(ctx, b.wish(), func(edge.Progress) {})
		b.disk.written()
		b.boots("B", "boot-2", true)
		b.running()
		if got, err := b.get(b.wish()); err != nil || !got.Runs || b.disk.installs != 1 {
			b.Errorf("got %+v, %v after %d installs", got, err, b.disk.installs)
		}
		b.wantEvents(began, confirmed)
	})
	run("RunsAlready", func(b *systemBench) {
		b.disk.versions["A"] = "2"
		if got, err := b.get(b.wish()); err != nil || !got.Runs || b.disk.installs != 0 {
			b.Errorf("got %+v, %v after %d installs", got, err, b.disk.installs)
		}
		b.wantEvents()
	})
	run("SaysItselfWhatItIs", func(b *systemBench) {
		b.disk.versions["A"] = ""
		b.release = []string{filepath.Join(b.folder, "none"), filepath.Join(b.folder, "os-release")}
		b.must(os.WriteFile(b.release[1], []byte("ID=debian\nIMAGE_VERSION=\"2\"\n"), 0o600))
		if got, err := b.get(b.wish()); err != nil || !got.Runs {
			b.Errorf("got %+v, %v", got, err)
		}
	})
	run("NobodyCallsItGood", func(b *systemBench) {
		_, err := b.get(b.wish())
		b.must(err)
		b.boots("B", "boot-2", false)
		b.running()
		time.Sleep(unconfirmedAfter / 2)
		b.wantWarnings()
		time.Sleep(unconfirmedAfter)
		b.wantWarnings(codeSystemUnconfirmed)
	})
}

func (b *systemBench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// TestSystemUpdater_Refuses lists what is refused, and that nothing is installed by it.
func TestSystemUpdater_Refuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*systemBench, *systemWish)
		want   string
		later  bool // another time may do better
	}{
		"NoRauc":      {func(b *systemBench, _ *systemWish) { b.disk.missing = rauc.New("/nowhere/rauc", nil).Missing() }, "rauc is not installed", false},
		"Undescribed": {func(b *systemBench, _ *systemWish) { b.disk.undescribed = rauc.ErrUndescribed }, "no file describes the systems", false},
		"NotBelieved": {func(b *systemBench, _ *systemWish) {
			b.disk.unknown = fmt.Errorf("%w: signature verification failed", edge.ErrInvalid)
		}, "signature verification failed", false},
		"OtherDigest":  {func(b *systemBench, w *systemWish) { b.must(os.WriteFile(b.file, []byte("another"), 0o600)) }, "has the digest", false},
		"OtherVersion": {func(b *systemBench, _ *systemWish) { b.disk.bundle.Version = "3" }, "is of version 3, not 2", false},
		"NotThere":     {func(b *systemBench, w *systemWish) { w.Bundle = b.file + "x" }, "no such file", false},
		"NoFile":       {func(b *systemBench, w *systemWish) { w.Bundle = b.folder }, "not a regular file", false},
		"Fails": {func(b *systemBench, _ *systemWish) {
			b.disk.install = func() error { return fmt.Errorf("Compatible mismatch: %w", edge.ErrInvalid) }
		}, "Compatible mismatch", false},
		"Busy": {func(b *systemBench, _ *systemWish) { b.disk.busy = 1e6 }, "already processing", true},
		"BusyAtInstall": {func(b *systemBench, _ *systemWish) {
			b.disk.install = func() error { return fmt.Errorf("already processing: %w", edge.ErrUnavailable) }
		}, "already processing", true},
		"NotBootedByIt":    {func(b *systemBench, _ *systemWish) { b.disk.booted = "" }, "does not know which system runs", false},
		"SaysSoAndDoesNot": {func(b *systemBench, _ *systemWish) { b.disk.idle = true }, "not that it is started next", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newSystemBench(t)
				w := b.wish()
				c.change(b, &w)
				got, err := b.get(w)
				if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, edge.ErrUnavailable) != c.later {
					t.Errorf("got %+v, %v; want %q, later %v", got, err, c.want, c.later)
				}
				if p := b.pursued(); p.Stage == systemInstalled || b.disk.primary != "A" {
					t.Errorf("kept is %+v, and %s is started next", p, b.disk.primary)
				}
			})
		})
	}
}

// TestSystemUpdater_Restart has the machine start anew, or not.
func TestSystemUpdater_Restart(t *testing.T) {
	run := func(name string, test func(b *systemBench, ctx context.Context, end context.CancelFunc)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				defer end()
				test(newSystemBench(t), ctx, end)
			})
		})
	}
	silent := func(edge.Progress) {}
	run("Now", func(b *systemBench, ctx context.Context, end context.CancelFunc) {
		b.reboot = func(context.Context) error {
			b.reboots++
			if b.open || b.pursued().Stage != systemInstalled || b.Report().Phase != edge.SystemRestarting {
				b.Errorf("it restarts with tasks let in: %v; kept is %+v, the report %+v", b.open, b.pursued(), b.Report())
			}
			end()
			return nil
		}
		if _, err := b.pursue(ctx, b.wish(), silent); !errors.Is(err, context.Canceled) || b.reboots != 1 {
			b.Errorf("got %v after %d reboots", err, b.reboots)
		}
		b.wantEvents(began, installed, edge.EventSystemRestarting)
	})
	run("Later", func(b *systemBench, ctx context.Context, _ context.CancelFunc) {
		w := b.wish()
		w.Restart = edge.RestartLater
		if got, err := b.pursue(ctx, w, silent); err != nil || got.Runs || b.reboots != 0 || !b.open {
			b.Errorf("got %+v, %v after %d reboots", got, err, b.reboots)
		}
	})
	run("Fails", func(b *systemBench, ctx context.Context, _ context.CancelFunc) {
		b.reboot = func(context.Context) error { return errors.New("systemctl reboot: no bus") }
		_, err := b.pursue(ctx, b.wish(), silent)
		if !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(err.Error(), "no bus") || !b.open {
			b.Errorf("got %v; tasks are let in: %v", err, b.open)
		}
		b.running()
		b.wantWarnings(codeSystemRestart)
	})
	run("DoesNotCome", func(b *systemBench, ctx context.Context, _ context.CancelFunc) {
		b.open = false // by somebody else
		if _, err := b.pursue(ctx, b.wish(), silent); !errors.Is(err, edge.ErrUnavailable) || b.open {
			b.Errorf("got %v; tasks are let in: %v", err, b.open)
		}
	})
	run("WaitsForTrials", func(b *systemBench, ctx context.Context, end context.CancelFunc) {
		began := time.Now()
		b.trial = func() bool { return time.Since(began) < time.Hour }
		b.reboot = func(context.Context) error { end(); return nil }
		if _, err := b.pursue(ctx, b.wish(), silent); !errors.Is(err, context.Canceled) || time.Since(began) < time.Hour {
			b.Errorf("got %v after %v", err, time.Since(began))
		}
	})
	run("FleetMayNot", func(b *systemBench, ctx context.Context, _ context.CancelFunc) {
		b.allowed = func() bool { return false }
		o := order{edge.Command{ID: "one", Args: []byte(fmt.Sprintf(`{"bundle":%q}`, b.file))}, silent}
		_, err := (&verbs{systems: b.systemUpdater}).updateSystem(ctx, o)
		if refusal, is := edge.AsRefusal(err); !is || refusal.Reason != edge.ReasonDenied || b.disk.installs != 0 {
			b.Errorf("got %v after %d installs", err, b.disk.installs)
		}
		o.Args = []byte(fmt.Sprintf(`{"bundle":%q,"restart":"later"}`, b.file))
		if _, err := (&verbs{systems: b.systemUpdater}).updateSystem(ctx, o); err != nil || b.disk.installs != 1 || b.reboots != 0 {
			b.Errorf("later: %v after %d installs and %d reboots", err, b.disk.installs, b.reboots)
		}
	})
}
