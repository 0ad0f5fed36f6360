package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/mqtt/outbox"
)

// Options are what a Journal needs. Path, Boot, Child and Stamp have no default.
type Options struct {
	Path string // of link.db
	Boot string // the name of this boot of the machine
	// Child is the command that runs boltfile.CheckMain on a file of Layout.
	Child func(ctx context.Context, path string) *exec.Cmd
	// Stamp says in a record when it is: Mono, Time and Quality.
	Stamp func(*outbox.Record)

	Disk boltfile.Disk // nil: the real one
	Log  *slog.Logger  // nil: silent
}

// Bounds. Together they stay below a third of maxFile.
const (
	// Window is how many counters of an issuer are remembered one by one.
	Window     = 1024
	maxIssuers = 128 // a root has 64 keys at most

	maxOpen      = 64      // commands not final
	maxOpenBytes = 1 << 20 // of their documents

	keptReplies    = 256     // final
	keptReplyBytes = 1 << 20 // beside those that are still in the stream

	maxEntries    = 4096    // of the stream
	maxEntryBytes = 4 << 20 // of the stream

	// MaxBody bounds the body of an entry: a result and what a reply says around it.
	MaxBody = edge.MaxResult + 4<<10

	maxNotes = 64
	maxNote  = 4 << 10
	maxFile  = 24 << 20 // bbolt doubles its file up to here
)

// Times.
const (
	// ackEvery is how soon an acknowledgement is written when nothing else is.
	ackEvery = time.Minute
	// ackMany of them are written within ackSoon: while a backlog drains, a power cut
	// has that much of it sent again.
	ackMany = 64
	ackSoon = time.Second
	// A disk that failed is tried again after retryBase, then twice that, up to
	// retryMost. One node's disk has nobody to take turns with, so there is no jitter.
	retryBase = 5 * time.Second
	retryMost = 5 * time.Minute
)

// New checks options. It touches no file.
func New(o Options) (*Journal, error) {
	switch {
	case !edge.IsName(o.Boot):
		return nil, fmt.Errorf("cannot create journal: boot %.70q is no name: %w", o.Boot, edge.ErrInvalid)
	case o.Stamp == nil:
		return nil, errors.New("cannot create journal: nothing stamps its entries")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	file, err := boltfile.New(boltfile.Options{Path: o.Path, Layout: Layout(), Child: o.Child, Disk: o.Disk, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("cannot create journal: %w", err)
	}
	return &Journal{
		options:  o,
		file:     file,
		turn:     make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		state:    newState(),
		warnings: map[string]edge.Warning{},
	}, nil
}
