package inbox

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// round is a trigger that goes by the clock alone. The newest of its verdicts says when it
// was last answered, so that a time at which the node was off is made up for, once, and
// none is answered again.
type round struct {
	source
	turn
	since time.Time // what came before counts no more
	read  bool      // since has been read from the verdicts
}

// recall reads from the verdicts when rounds were answered last, of which that is not known yet.
func (b *Inbox) recall(now time.Time) {
	for _, r := range b.unread() {
		since := r.last(now)
		b.mu.Lock()
		r.since, r.read = since, true
		b.mu.Unlock()
	}
}

func (b *Inbox) unread() (rounds []*round) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rounds {
		if !r.read {
			rounds = append(rounds, r)
		}
	}
	return rounds
}

// due finds the rounds it is time for.
func (b *Inbox) due(now time.Time) (due []errand) {
	b.recall(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rounds {
		if !r.read || r.inside || now.Before(r.next) {
			continue
		}
		if r.since.After(now) { // the clock was put back
			r.since = now
		}
		if r.times.IsDue(r.since, now) {
			due = append(due, errand{trigger: r.Trigger, turn: &r.turn, round: r})
		}
	}
	edge.SortStable(due, func(x, y errand) int { return strings.Compare(x.trigger.Source(), y.trigger.Source()) })
	return due
}

// settleRound asks what the trigger asks, and keeps the verdict under the time.
func (b *Inbox) settleRound(ctx context.Context, r *round) (edge.Outcome, error) {
	if err := r.writable(); err != nil { // before anything is computed for nothing
		return 0, err
	}
	now := time.Now()
	content, name := []byte(r.Input), ""
	if r.File != "" {
		var err error
		if content, err = b.read(r.File); err != nil {
			return 0, edge.WithHint(err, "see what should write the file, and that the agent may read it; it is tried again")
		}
		name = filepath.Base(r.File)
	}
	v, err := b.ask(ctx, r.Trigger, content, name)
	if err != nil {
		return v.Outcome, err
	}
	if err := keep(r.Into, r.name(now), append(v.Encode(mostVerdict), '\n')); err != nil {
		return v.Outcome, err
	}
	b.mu.Lock()
	r.since = now
	b.mu.Unlock()
	return v.Outcome, r.trim()
}

// writable tells whether a verdict can go where it will have to.
func (r *round) writable() error {
	if err := os.MkdirAll(r.Into, 0o755); err != nil {
		return err
	}
	if err := unix.Access(r.Into, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("cannot write to %q: %w", r.Into, err)
	}
	return nil
}

// stamp is the time in a verdict's name, in UTC.
const stamp = "20060102T150405Z"

// stem begins the names of the verdicts.
func (r *round) stem() string {
	if r.File != "" {
		return filepath.Base(r.File) + "."
	}
	return r.Model + "."
}

func (r *round) name(now time.Time) string { return r.stem() + now.UTC().Format(stamp) + ending }

// verdicts are those of the trigger, the oldest first.
func (r *round) verdicts() (names []string, err error) {
	entries, err := os.ReadDir(r.Into)
	for _, entry := range entries {
		if _, ours := r.time(entry.Name()); ours {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// time is when the verdict of that name was given; false: it is none of ours.
func (r *round) time(name string) (time.Time, bool) {
	text, begins := strings.CutPrefix(name, r.stem())
	text, ends := strings.CutSuffix(text, ending)
	at, err := time.Parse(stamp, text)
	return at, begins && ends && err == nil
}

// last is when it was answered last, as far as the verdicts tell. One from the future
// was given by a wrong clock.
func (r *round) last(now time.Time) time.Time {
	names, _ := r.verdicts() // where there is no folder there was no verdict
	for _, name := range slices.Backward(names) {
		if at, _ := r.time(name); !at.After(now) {
			return at
		}
	}
	return r.since
}

// trim removes the verdicts beyond those that are kept.
func (r *round) trim() error {
	names, err := r.verdicts()
	if err != nil {
		return fmt.Errorf("cannot look for old verdicts: %w", err)
	}
	for i := range len(names) - cmp.Or(r.Keep, edge.DefaultKeep) {
		if err := os.Remove(filepath.Join(r.Into, names[i])); err != nil {
			return fmt.Errorf("cannot remove old verdict: %w", err)
		}
	}
	return nil
}

// changed is when the entry of a file last changed: it was written, moved or renamed.
func changed(info fs.FileInfo) time.Time {
	if status, known := info.Sys().(*syscall.Stat_t); known {
		return time.Unix(int64(status.Ctim.Sec), int64(status.Ctim.Nsec)) //nolint:unconvert // 32 bits on some machines
	}
	return info.ModTime()
}
