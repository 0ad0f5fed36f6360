package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/rauc"
	"holdfast/edge/release"
)

// systemWish is a system that somebody wants to run here.
type systemWish struct {
	edge.SystemPolicy
	origin  string
	again   bool // a version that did not stay is to be tried anew
	resumes bool // whoever wants it goes on wanting it over the ends of the agent and the machine
}

const (
	// busyWithin is how long rauc may be busy with what the agent itself began before it
	// ended: writing a system to slow flash takes minutes.
	busyWithin = 30 * time.Minute
	// strangeWithin is the same of what others began, and of rauc's service that starts.
	strangeWithin = time.Minute
	busyEvery     = 2 * time.Second
)

// systems asks rauc which systems there are, again while it is busy.
func (u *systemUpdater) systems(ctx context.Context, told func(edge.Progress)) (s rauc.Status, running rauc.Slot, err error) {
	if err := u.rauc.Missing(); err != nil {
		return s, running, err
	}
	patience := strangeWithin
	if p := u.pursued(); p.Stage == systemInstalling && p.Boot == u.boot {
		patience = busyWithin
	}
	for began, waited := time.Now(), false; ; waited = true {
		if s, err = u.rauc.Status(ctx); err == nil && waited {
			s, err = u.rauc.Status(ctx) // the first may have been put together while it ended
		}
		if err == nil {
			running, err = u.running(s)
			return s, running, err
		}
		if errors.Is(err, rauc.ErrUndescribed) {
			return s, running, err
		}
		if time.Since(began) > patience {
			return s, running, edge.WithHint(err, "look at rauc's service: systemctl status rauc; rauc status")
		}
		told(edge.Progress{Note: "waiting for rauc: " + err.Error()})
		select {
		case <-ctx.Done():
			return s, running, context.Cause(ctx)
		case <-time.After(busyEvery):
		}
	}
}

// bring has a system installed, unless it runs already, or is; for whoever is not told of
// the end by a restart. The caller has the machine start anew.
func (u *systemUpdater) bring(ctx context.Context, w systemWish, told func(edge.Progress)) (edge.SystemUpdate, error) {
	done, err := u.brought(ctx, w, told)
	if err == nil {
		return done, nil
	}
	if ctx.Err() == nil && isFinal(err) {
		u.event(edge.EventSystemUpdateRefused, w.Version, err.Error(), &systemPursuit{Bundle: w.Bundle, Digest: w.Digest, Origin: w.origin})
	}
	return done, fmt.Errorf("cannot update the system: %w", err)
}

func (u *systemUpdater) brought(ctx context.Context, w systemWish, told func(edge.Progress)) (edge.SystemUpdate, error) {
	if p := u.pursued(); w.resumes && p.Origin == w.origin && w.Version == "" && sameDigest(p.Digest, w.Digest) {
		w.Version = p.Version // it was found out before the agent ended
	}
	if err := u.awaitVerdict(ctx, told); err != nil {
		return edge.SystemUpdate{}, err
	}
	if err := u.taking.wait(ctx); err != nil {
		return edge.SystemUpdate{}, err
	}
	defer u.taking.leave()
	s, running, err := u.systems(ctx, told)
	if err != nil {
		return edge.SystemUpdate{}, err
	}
	if done, settled, err := u.settled(&w, &s, &running); settled || err != nil {
		return done, err
	}
	defer func() {
		u.set(func(r *edge.SystemReport) { r.Phase, r.Wanted, r.Origin, r.Done, r.Total = "", "", "", 0, 0 })
		u.nudge()
	}()
	u.set(func(r *edge.SystemReport) { r.Wanted, r.Origin = w.Version, w.origin })
	file, bundle, err := u.fetch(ctx, &w, told)
	if err != nil {
		return edge.SystemUpdate{}, err
	}
	w.Version = bundle.Version
	if done, settled, err := u.settled(&w, &s, &running); settled || err != nil {
		return done, errors.Join(err, u.tidy(""))
	}
	return u.install(ctx, &w, &running, file, told)
}

// settled tells whether there is nothing to do for a version: it runs, is installed, or did
// not stay here. Nothing is, as long as the version is not known.
func (u *systemUpdater) settled(w *systemWish, s *rauc.Status, running *rauc.Slot) (done edge.SystemUpdate, is bool, err error) {
	p := u.pursued()
	if w.Version == "" {
		return done, false, nil
	}
	if running.Version == w.Version {
		return edge.SystemUpdate{Version: w.Version, From: p.beforeVersion(w.Version), Slot: running.Word(), Runs: true}, true, nil
	}
	if bad, is := p.badly(w.Version, w.Digest); is {
		if mine := w.resumes && p.Origin == w.origin && p.is(w.Version, w.Digest); !w.again || mine {
			return done, true, rejection(bad)
		}
		_, err := u.keep(func(p *systemPursuit) { p.pardon(w.Version, w.Digest); p.Stage = "" })
		u.nudge()
		return done, false, err
	}
	next, known := s.Next()
	begun := p.Boot == u.boot && (p.Stage == systemInstalling || p.Stage == systemInstalled) && p.is(w.Version, w.Digest)
	if !begun || !known || next.Booted || next.Version != w.Version {
		return done, false, nil
	}
	done, err = u.installed(p.Version, next)
	return done, true, err
}

// beforeVersion is what ran before a version, where that is known.
func (p *systemPursuit) beforeVersion(version string) string {
	if p.Version != version {
		return ""
	}
	return p.From
}

// fetch has the bundle at hand, and rauc's word that it is believed.
func (u *systemUpdater) fetch(ctx context.Context, w *systemWish, told func(edge.Progress)) (file string, b rauc.Bundle, err error) {
	told = paced(told)
	file = w.Bundle
	u.phase(edge.SystemFetching, 0, 0)
	switch {
	case !strings.HasPrefix(w.Bundle, "/"):
		file, err = u.download(ctx, w, told)
	case w.Digest != "":
		err = hasBytes(w.Bundle, w.Digest)
	default:
		err = regularBundle(w.Bundle)
	}
	if err != nil {
		return file, b, err
	}
	if b, err = u.rauc.Describe(ctx, file); err != nil {
		if errors.Is(err, edge.ErrInvalid) {
			err = errors.Join(edge.WithHint(err, remedyOf(err, "have it signed by a certificate of the keyring in /etc/rauc/system.conf; see rauc info")), u.tidy(""))
		}
		return file, b, err
	}
	if w.Version != "" && b.Version != w.Version {
		return file, b, errors.Join(edge.WithHint(fmt.Errorf("the bundle is of version %s, not %s: %w", b.Version, w.Version, edge.ErrInvalid),
			"name the bundle's own version, as rauc info shows it"), u.tidy(""))
	}
	return file, b, nil
}

// download brings a bundle into the state folder, and goes on where it ended before.
func (u *systemUpdater) download(ctx context.Context, w *systemWish, told func(edge.Progress)) (string, error) {
	file := filepath.Join(u.folder, bundlePrefix+strings.TrimPrefix(w.Digest, "sha256:")[:16])
	if err := u.tidy(file); err != nil {
		return file, err
	}
	err := release.Whole{
		URL: w.Bundle, Digest: w.Digest, Client: u.client, Rate: int64(w.Bandwidth),
		Room: func(need int64) error { return u.room(ctx, u.folder, need) },
		Told: func(done, total int64) {
			u.phase(edge.SystemFetching, done, total)
			told(edge.Progress{Done: done, Total: total, Unit: "bytes"})
		},
	}.Fetch(ctx, file)
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), errWithdrawn) {
		err = errors.Join(err, u.tidy(""))
	}
	return file, err
}

// bundlePrefix begins the names of bundles that were brought.
const bundlePrefix = "system-bundle-"

// tidy removes bundles that were brought, but one.
func (u *systemUpdater) tidy(but string) error {
	found, err := filepath.Glob(filepath.Join(u.folder, bundlePrefix+"*"))
	for _, file := range found {
		if file != but {
			err = errors.Join(err, removedFile(file))
		}
	}
	return err
}

func regularBundle(path string) error {
	file, err := openRegular(path)
	if err != nil {
		return edge.WithHint(fmt.Errorf("cannot read the bundle: %w: %w", edge.ErrInvalid, err), "name a file on this machine that the agent may read, not below /home or /root")
	}
	return file.Close()
}

// hasBytes holds a file against a digest.
func hasBytes(path, digest string) error {
	if err := regularBundle(path); err != nil {
		return err
	}
	file, err := openRegular(path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("cannot read the bundle: %w: %w", edge.ErrUnavailable, err)
	}
	if is := "sha256:" + hex.EncodeToString(sum.Sum(nil)); is != digest {
		return fmt.Errorf("the bundle %q has the digest %s, not %s: %w", path, is, digest, edge.ErrInvalid)
	}
	return nil
}

// install has rauc write the bundle, between two notes of that.
func (u *systemUpdater) install(ctx context.Context, w *systemWish, running *rauc.Slot, file string, told func(edge.Progress)) (edge.SystemUpdate, error) {
	if err := u.quiet(ctx, told); err != nil {
		return edge.SystemUpdate{}, err
	}
	p, err := u.begin(w, running)
	if err != nil {
		return edge.SystemUpdate{}, err
	}
	u.event(edge.EventSystemUpdateBegan, w.Version, w.origin, p)
	u.set(func(r *edge.SystemReport) { r.Wanted = w.Version })
	u.phase(edge.SystemInstalling, 0, 100)
	err = u.rauc.Install(ctx, file, func(percent int, step string) {
		u.phase(edge.SystemInstalling, int64(percent), 100)
		told(edge.Progress{Done: int64(percent), Total: 100, Unit: "percent", Note: step})
	})
	if ctx.Err() != nil {
		return edge.SystemUpdate{}, context.Cause(ctx) // rauc may go on; the next try finds out
	}
	if errors.Is(err, edge.ErrInvalid) {
		_, unkept := u.keep(func(p *systemPursuit) { p.Stage = "" })
		err = errors.Join(err, unkept, u.tidy(""))
	}
	if err != nil {
		return edge.SystemUpdate{}, err
	}
	s, err := u.rauc.Status(ctx)
	if err != nil {
		return edge.SystemUpdate{}, err
	}
	next, known := s.Next()
	if !known || next.Booted {
		return edge.SystemUpdate{}, edge.WithHint(fmt.Errorf("rauc says that it has installed version %s, and not that it is started next: %w", w.Version, edge.ErrInvalid), "see rauc status")
	}
	return u.installed(w.Version, next)
}

// begin keeps that an installation begins, and counts those that the machine did not outlive.
func (u *systemUpdater) begin(w *systemWish, running *rauc.Slot) (*systemPursuit, error) {
	p, err := u.keep(func(p *systemPursuit) {
		cutOff := 0
		if p.Stage == systemInstalling && p.is(w.Version, w.Digest) {
			cutOff = p.CutOff
			if p.Boot != u.boot {
				cutOff++
			}
		}
		*p = systemPursuit{
			Stage: systemInstalling, Bundle: w.Bundle, Version: w.Version, Digest: w.Digest, Origin: w.origin,
			From: running.Version, FromSlot: running.Word(), Boot: u.boot, CutOff: cutOff, Last: p.Last, Rejected: p.Rejected,
		}
		if cutOff >= maxCutOff {
			p.reject(fmt.Sprintf("%d times the machine started anew while it was being installed", cutOff))
		}
	})
	if bad, is := p.badly(w.Version, w.Digest); err == nil && is {
		return p, rejection(bad)
	}
	return p, err
}

// installed keeps that the next start of the machine is of the new version.
func (u *systemUpdater) installed(version string, next rauc.Slot) (edge.SystemUpdate, error) {
	anew := false
	p, err := u.keep(func(p *systemPursuit) {
		anew = p.Stage != systemInstalled
		p.Stage, p.Slot, p.Boot, p.CutOff = systemInstalled, next.Word(), u.boot, 0
	})
	if err == nil {
		err = u.tidy("")
	}
	if err != nil {
		return edge.SystemUpdate{}, err
	}
	if anew {
		u.event(edge.EventSystemUpdateInstalled, version, "the next start of the machine is of it", p)
	}
	u.nudge()
	return edge.SystemUpdate{Version: version, From: p.From, Slot: p.Slot}, nil
}

// awaitVerdict waits until it is known what became of an update that the machine was started
// anew for.
func (u *systemUpdater) awaitVerdict(ctx context.Context, told func(edge.Progress)) error {
	for p := u.pursued(); p.Stage == systemInstalled && p.Boot != u.boot; p = u.pursued() {
		if err := u.rauc.Missing(); err != nil {
			return err
		}
		told(edge.Progress{Note: "version " + p.Version + ": waiting until the system that runs is called good"})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(paceEvery):
		}
	}
	return nil
}
