package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Run looks after the logs until ctx ends.
func (d *Driver) Run(ctx context.Context) error {
	growth := growth{limit: d.opts.LogMaxBytes, longest: d.opts.LogEvery}
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			look.Reset(growth.next(d.logSizes(), time.Now()))
			if err := d.RotateLogs(d.opts.LogMaxBytes, d.opts.LogKeep); err != nil {
				d.log.Warn("cannot rotate logs", "error", err)
			}
		}
	}
}

// growth tells when to look at the logs again: before the one that grows fastest
// has grown by another limit.
type growth struct {
	limit   int64
	longest time.Duration
	sizes   map[string]int64 // at the last look
	at      time.Time
}

// shortestLook keeps a container that writes without end from keeping the agent
// busy as well: it may overshoot its limit by what it writes in that time.
const shortestLook = 100 * time.Millisecond

// next takes the sizes of now and returns the time until the next look.
func (g *growth) next(sizes map[string]int64, now time.Time) time.Duration {
	var fastest int64
	for path, size := range sizes {
		grown := size
		if before := g.sizes[path]; before <= size { // else somebody truncated it
			grown -= before
		}
		fastest = max(fastest, grown)
		if size > g.limit {
			sizes[path] = 0 // it is put aside now
		}
	}
	took := now.Sub(g.at)
	first := g.at.IsZero()
	g.sizes, g.at = sizes, now
	if first || fastest == 0 {
		return g.longest
	}
	pause := time.Duration(float64(took) * float64(g.limit) / float64(fastest))
	return min(max(pause, shortestLook), g.longest)
}

// logSizes measures the log of each instance.
func (d *Driver) logSizes() map[string]int64 {
	sizes := make(map[string]int64)
	logs, _ := filepath.Glob(filepath.Join(d.logDir(), "*.log")) // the pattern is well formed
	for _, log := range logs {
		if info, err := os.Stat(log); err == nil { // else removed meanwhile
			sizes[log] = info.Size()
		}
	}
	return sizes
}

// RotateLogs puts the last maxBytes of every log that is larger aside, and keeps the given number of old ones. The shim holds its file open,
// appending, so the log is copied and then truncated. What is written between the
// two is lost: usually in microseconds, but no more than a quarter of maxBytes is
// copied of what a program adds during the copy, or it could go on for ever.
func (d *Driver) RotateLogs(maxBytes int64, keep int) error {
	var failed []error
	for log, size := range d.logSizes() {
		if size <= maxBytes {
			continue
		}
		id := strings.TrimSuffix(filepath.Base(log), ".log")
		if err := d.rotate(id, maxBytes, keep); err != nil {
			failed = append(failed, fmt.Errorf("cannot rotate log of instance %q: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

func (d *Driver) rotate(id string, maxBytes int64, keep int) error {
	if keep <= 0 {
		return os.Truncate(d.logPath(id), 0)
	}
	for number := keep - 1; number >= 1; number-- {
		err := os.Rename(d.rotatedLog(id, number), d.rotatedLog(id, number+1))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := copyEnd(d.rotatedLog(id, 1), d.logPath(id), maxBytes); err != nil {
		return err
	}
	return os.Truncate(d.logPath(id), 0)
}

// copyEnd copies the last maxBytes of a growing file, and a quarter more of what
// it grows by meanwhile.
func copyEnd(to, from string, maxBytes int64) error {
	live, err := os.Open(from)
	if err != nil {
		return err
	}
	defer live.Close()
	info, err := live.Stat()
	if err != nil {
		return err
	}
	end := min(info.Size(), maxBytes)
	if _, err := live.Seek(info.Size()-end, io.SeekStart); err != nil {
		return err
	}
	aside, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(aside, io.LimitReader(live, end+maxBytes/4))
	return errors.Join(err, aside.Close())
}
