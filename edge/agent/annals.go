package agent

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"holdfast/edge"
)

// annals keep the node's events for the next agent, one a line, so that it can still be
// read what happened when the agent itself was what ended. They lie in the run folder,
// which is memory: that costs no flash, and goes with the power.
type annals struct {
	path string

	mu    sync.Mutex // guards what follows; held for a write into memory
	file  *os.File   // nil: nothing is kept any more
	lines int
}

const (
	// mostLines is when the file is written anew with what is still kept.
	mostLines = 3 * keptEvents / 2
	// mostAnnals bounds what is read: many times what such a file can hold.
	mostAnnals = 8 << 20
)

// openAnnals reads what an earlier agent left, in order, and goes on there.
func openAnnals(path string) (*annals, []edge.Event, error) {
	events, err := readAnnals(path)
	if err != nil {
		return nil, nil, err
	}
	a := &annals{path: path}
	if err := a.beginLocked(events); err != nil {
		return nil, nil, err
	}
	return a, events, nil
}

// readAnnals takes every whole line; a last one may have been cut off with its agent.
func readAnnals(path string) ([]edge.Event, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|waitForNobody, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read events of the agent before: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("cannot read events of the agent before: %q is no file", path), err)
	}
	var events []edge.Event
	lines := bufio.NewScanner(io.LimitReader(file, mostAnnals))
	lines.Buffer(nil, mostAnnals)
	for lines.Scan() {
		var e edge.Event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Seq > 0 && !e.Kind.OfTask() {
			events = append(events, e)
		}
	}
	edge.SortStable(events, func(a, b edge.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	// Who told an event while the file was written anew may have written it once more.
	return slices.CompactFunc(events, func(a, b edge.Event) bool { return a.Seq == b.Seq && a.Kind == b.Kind }), lines.Err()
}

// beginLocked writes the file anew with the events and keeps it open.
func (a *annals) beginLocked(events []edge.Event) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text) // which ends every value with a line
	for _, e := range events {
		if err := encoder.Encode(e); err != nil {
			return fmt.Errorf("cannot keep events: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(a.path), 0o755); err != nil {
		return fmt.Errorf("cannot keep events: %w", err)
	}
	next := a.path + ".next"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|waitForNobody, 0o600)
	if err != nil {
		return fmt.Errorf("cannot keep events: %w", err)
	}
	if _, err = file.Write(text.Bytes()); err == nil {
		err = os.Rename(next, a.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot keep events: %w", err), file.Close())
	}
	a.closeLocked()
	a.file, a.lines = file, len(events)
	return nil
}

// add writes one event. kept is asked for what is to be kept when there are too many.
func (a *annals) add(e edge.Event, kept func() []edge.Event) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	if a.lines >= mostLines {
		if err := a.beginLocked(kept()); err != nil { // with this one among them
			a.closeLocked()
			return err
		}
		return nil
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = a.file.Write(append(line, '\n'))
	}
	if err != nil {
		a.closeLocked()
		return fmt.Errorf("cannot keep events: %w", err)
	}
	a.lines++
	return nil
}

// Close lets go of the file; what comes is not kept.
func (a *annals) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closeLocked()
}

func (a *annals) closeLocked() {
	if a.file != nil {
		_ = a.file.Close() // in memory: nothing is to be flushed
		a.file = nil
	}
}
