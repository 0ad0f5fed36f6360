package desk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/mqtt"
)

// history is the files in which the streams of all nodes lie, one line each envelope:
// history/{node}/{epoch}.jsonl. A line of the desk's own says of a stretch that the
// node was done with it before its history was kept here.
type history struct {
	dir     string
	log     *slog.Logger
	streams map[streamID]*kept
	dirty   map[streamID]*kept // with lines to be written
	used    uint64             // counts uses, for the oldest to go
}

// streamID names one stream of one node.
type streamID struct{ node, epoch string }

// kept is a stream with its file.
type kept struct {
	stream
	size    int64 // of the file, as far as it is good
	used    uint64
	pending []byte // lines to be written; their numbers are in the stream already
	flushed uint64 // stream.through when nothing was pending last
	missing uint64 // the hole that was told of, by its last number
}

// Bounds of what is held and made.
const (
	// maxStreams in memory are two for each of 4,000 nodes; others are read again.
	maxStreams = 8192
	// maxEpochs is how many stores a node may have had. An epoch is drawn when a node's
	// store is made; more than this is somebody filling the disk.
	maxEpochs = 256
	// maxLine is the longest line of a file.
	maxLine = mqtt.DefaultFrame
)

// TypeGap is the type of envelopes that stand for numbers whose records are lost.
const TypeGap = "gap"

func newHistory(dir string, log *slog.Logger) *history {
	return &history{dir: dir, log: log, streams: map[streamID]*kept{}, dirty: map[streamID]*kept{}}
}

// baseline is a line of the desk's own.
type baseline struct {
	Desk string `json:"desk"` // "baseline"
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// spanOf is the numbers an envelope stands for.
func spanOf(u mqtt.Envelope) (span, error) {
	if u.Type != TypeGap {
		return span{u.Seq, u.Seq}, nil
	}
	var gap struct{ From, To uint64 }
	if err := json.Unmarshal(u.Body, &gap); err != nil || gap.From == 0 || gap.From > gap.To || gap.To != u.Seq {
		return span{}, fmt.Errorf("cannot read gap at %d: %w", u.Seq, edge.ErrInvalid)
	}
	return span{gap.From, gap.To}, nil
}

// take notes an envelope to be written; false when it is kept already or there is no
// place for it. Nothing counts as kept before flush.
func (h *history) take(id streamID, n span, text []byte) (taken bool, err error) {
	k, err := h.open(id)
	if err != nil || k == nil || k.holds(n) {
		return false, err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return false, fmt.Errorf("cannot keep envelope: %w", err)
	}
	if !k.add(n) {
		h.log.Warn("history has too many holes", "node", id.node, "epoch", id.epoch, "seq", n.from)
		return false, nil
	}
	h.append(id, k, line.Bytes())
	return true, nil
}

// skip notes that a node was done with everything up to a number before.
func (h *history) skip(id streamID, to uint64) error {
	k, err := h.open(id)
	if err != nil || k == nil || to <= k.through {
		return err
	}
	line, err := json.Marshal(baseline{"baseline", k.through + 1, to})
	if err != nil {
		return err
	}
	h.log.Warn("history begins later", "node", id.node, "epoch", id.epoch, "from", k.through+1, "to", to)
	h.append(id, k, line)
	k.add(span{k.through + 1, to}) // never refused: it is no island
	return nil
}

func (h *history) append(id streamID, k *kept, line []byte) {
	k.pending = append(append(k.pending, line...), '\n')
	h.dirty[id] = k
}

// fewFiles are flushed each for itself; beyond that one flush of the file system is
// cheaper, whatever else is on it.
const fewFiles = 16

// flush writes what was taken, and returns after it lies on the disk.
func (h *history) flush() error {
	few := len(h.dirty) <= fewFiles
	for id, k := range h.dirty {
		if err := h.write(id, k, few); err != nil {
			return unkept(fmt.Errorf("cannot keep history of node %q: %w", id.node, err))
		}
	}
	if !few {
		if err := syncFileSystem(h.dir); err != nil {
			return unkept(fmt.Errorf("cannot keep history: %w", err))
		}
	}
	for _, k := range h.dirty {
		k.size += int64(len(k.pending))
		k.pending, k.flushed = nil, k.through
	}
	clear(h.dirty)
	return nil
}

// unkept says what to do where the disk takes no more.
func unkept(err error) error {
	return edge.WithHint(err, "make room on the disk of the desk's folder and attend again: nothing was confirmed that is not kept, and the nodes send it again")
}

// write appends to a file, and flushes it and the names that lead to it if it should.
func (h *history) write(id streamID, k *kept, sync bool) (err error) {
	path := h.path(id)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteAt(k.pending, k.size); err != nil || !sync {
		return err
	}
	if err := file.Sync(); err != nil || k.size > 0 {
		return err
	}
	return syncFolders(filepath.Dir(path), h.dir)
}

// through is up to where a stream lies on the disk without a hole.
func (h *history) through(id streamID) (uint64, error) {
	k, err := h.open(id)
	if err != nil || k == nil {
		return 0, err
	}
	return k.flushed, nil
}

func (h *history) path(id streamID) string {
	return filepath.Join(h.dir, id.node, id.epoch+".jsonl")
}

// open finds a stream in memory or reads it from its file; nil when the node has had
// more stores than it may.
func (h *history) open(id streamID) (*kept, error) {
	h.used++
	if k := h.streams[id]; k != nil {
		k.used = h.used
		return k, nil
	}
	folder := filepath.Join(h.dir, id.node)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("cannot keep history: %w", err)
	}
	if _, err := os.Lstat(h.path(id)); err != nil {
		if entries, err := os.ReadDir(folder); err != nil || len(entries) >= maxEpochs {
			h.log.Warn("history not kept", "node", id.node, "epoch", id.epoch, "epochs", len(entries))
			return nil, err
		}
	}
	k, err := h.read(id)
	if err != nil {
		return nil, fmt.Errorf("cannot read history of node %q: %w", id.node, err)
	}
	k.used = h.used
	if len(h.streams) >= maxStreams {
		h.forget()
	}
	h.streams[id] = k
	return k, nil
}

// forget drops from memory the quarter that was not used for longest.
func (h *history) forget() {
	oldest := h.used - uint64(maxStreams)*3/4
	for id, k := range h.streams {
		if k.used < oldest && len(k.pending) == 0 {
			delete(h.streams, id)
		}
	}
}

func syncFileSystem(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(folder.Fd())), folder.Close())
}

// syncFolders makes names last.
func syncFolders(paths ...string) error {
	for _, path := range paths {
		folder, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
			return err
		}
	}
	return nil
}
