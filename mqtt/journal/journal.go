package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/mqtt/outbox"
)

// Journal is the durable half of the link.
type Journal struct {
	options Options
	wake    chan struct{} // capacity 1: Run has something to look at
	turn    chan struct{} // capacity 1: whoever put something in may use the file

	// Of whoever has the turn.
	file   *boltfile.File
	loaded bool // the state came from the file, or there was none

	mu sync.Mutex // guards all below; never held while the disk works

	state     *state
	acked     uint64    // of the state's epoch; perhaps not written yet
	owedSince time.Time // the first that is not
	queue     []*change
	kept      bool
	retry     retry // while it is not
	opened    bool
	closed    bool
	changed   chan struct{} // closed by the next entry; nil: nobody waits
	warnings  map[string]edge.Warning
	counts    outbox.Counts
}

// now is the state as it was last committed.
func (j *Journal) now() *state {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

// Open opens the file, or makes one. It fails only when another process has it: else,
// what cannot be kept is in memory, and a warning says so.
func (j *Journal) Open(ctx context.Context) error {
	j.turn <- struct{}{}
	defer j.release()
	j.mu.Lock()
	again := j.opened || j.closed
	j.opened = true
	j.mu.Unlock()
	if again {
		return fmt.Errorf("cannot open journal %q: it was opened before", j.options.Path)
	}
	if err := j.load(ctx); err != nil {
		j.mu.Lock()
		j.opened = false // whoever has the file may give it back
		j.mu.Unlock()
		return fmt.Errorf("cannot open journal: %w", err)
	}
	return nil
}

// load takes over what the file has.
func (j *Journal) load(ctx context.Context) error {
	found, err := j.file.Open(ctx)
	if err != nil {
		return err
	}
	switch found.Rung {
	case boltfile.Intact, boltfile.Older, boltfile.ReadOnly:
		s, err := decode(found.Records)
		if err != nil {
			return err // the layout's check let nothing pass that cannot be read
		}
		return j.adopt(ctx, s, found)
	case boltfile.Absent, boltfile.Lost:
		j.build(ctx, found)
	default:
		j.failed(found, found.Why)
	}
	return nil
}

// adopt goes on from a file.
func (j *Journal) adopt(ctx context.Context, s *state, found boltfile.Found) error {
	j.loaded = true
	d := s.draft(0)
	d.reboot(j.options.Boot)
	switch found.Rung {
	case boltfile.ReadOnly:
		j.publish(d)
		j.failed(found, found.Why)
		return nil
	case boltfile.Older:
		if err := d.doubt(); err != nil {
			return err
		}
	}
	j.report(found)
	j.write(ctx, d)
	return nil
}

// build makes the first file, or the next.
func (j *Journal) build(ctx context.Context, found boltfile.Found) {
	j.loaded = true
	d := newState().draft(0)
	d.reboot(j.options.Boot)
	d.putNumbers()
	d.putEpoch()
	j.report(found)
	j.write(ctx, d)
}

// write commits a draft, or else goes on with it in memory.
func (j *Journal) write(ctx context.Context, d *draft) {
	found, err := j.store(ctx, d)
	j.publish(d)
	if err != nil {
		j.failed(found, err)
		return
	}
	j.worked(found)
}

// store brings a draft to the file, whatever it takes.
func (j *Journal) store(ctx context.Context, d *draft) (found boltfile.Found, err error) {
	switch {
	case j.file.IsOpen() && d.changed:
		found, err = j.file.Commit(ctx, d.records)
	case j.file.IsOpen():
		return boltfile.Found{Rung: boltfile.Intact}, nil
	default:
		found, err = j.file.Restore(ctx, d.records)
	}
	// The file is lost, and nothing with it: all is in memory.
	if errors.Is(err, boltfile.ErrLost) {
		err = j.file.Rebuild(d.records)
	}
	return found, err
}

// reboot counts a boot that this file has not seen.
func (d *draft) reboot(boot string) {
	if d.boot.Name == boot {
		return
	}
	d.boot = bootRecord{boot, d.boot.Count + 1}
	text, _ := json.Marshal(d.boot) // a name and a number can be written
	d.put(bucketMeta, "boot", text)
}

// doubt follows the loss of the last commit, of which somebody may have been told: no
// number of the epoch is certain to be new, and what was received may have started.
func (d *draft) doubt() error {
	d.begin()
	d.putEpoch()
	for _, o := range maps.Clone(d.open) {
		if o.Stage != edge.StageReceived {
			continue
		}
		o.Stage = edge.StageStarted
		if err := d.putCommand(o); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) putEpoch() {
	d.put(bucketMeta, "epoch", []byte(d.epoch))
	d.put(bucketMeta, "needFull", strconv.AppendBool(nil, d.needFull))
	d.put(bucketMeta, "confirms", strconv.AppendBool(nil, d.confirms))
}

// NeedFull tells whether history was lost and the fleet was not told everything since.
func (j *Journal) NeedFull() bool { return j.now().needFull }

// ToldFull remembers that the fleet was told everything.
func (j *Journal) ToldFull(ctx context.Context) error {
	err := j.commit(ctx, func(d *draft) error {
		d.needFull = false
		d.put(bucketMeta, "needFull", []byte("false"))
		return nil
	})
	if err == nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.settledLocked(warnRecovered)
		j.settledLocked(warnRebuilt)
	}
	return err
}

// Run writes acknowledgements that nothing else has written, and tries a file again
// that failed.
func (j *Journal) Run(ctx context.Context) error {
	for {
		timer := time.NewTimer(j.due(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-j.wake:
			timer.Stop()
			continue
		case <-timer.C:
		}
		err := j.commit(ctx, func(d *draft) error {
			d.changed = d.changed || d.trimmed
			return nil
		})
		if err != nil && !errors.Is(err, edge.ErrUnavailable) && ctx.Err() == nil {
			return fmt.Errorf("cannot run journal: %w", err)
		}
	}
}

// due is how long there is nothing to do.
func (j *Journal) due(now time.Time) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	const never = 365 * 24 * time.Hour
	switch {
	case !j.kept && j.opened:
		return max(0, j.retry.at.Sub(now))
	case j.owedLocked() >= ackMany:
		return max(0, j.owedSince.Add(ackSoon).Sub(now))
	case j.owedLocked() > 0:
		return max(0, j.owedSince.Add(ackEvery).Sub(now))
	}
	return never
}

// owedLocked counts the acknowledgements that are not written.
func (j *Journal) owedLocked() uint64 { return j.ackedLocked() - j.state.stream.Acked }

// Close writes what was acknowledged, and lets go of the file.
func (j *Journal) Close() error {
	j.turn <- struct{}{}
	defer j.release()
	j.mu.Lock()
	again := j.closed
	j.closed = true
	j.mu.Unlock()
	if again {
		return nil
	}
	var err error
	if d := j.draft(); j.file.IsOpen() && d.trimmed {
		_, err = j.file.Commit(context.Background(), d.records)
	}
	if err := errors.Join(err, j.file.Close()); err != nil {
		return fmt.Errorf("cannot close journal %q: %w", j.options.Path, err)
	}
	return nil
}

func (j *Journal) release() { <-j.turn }
