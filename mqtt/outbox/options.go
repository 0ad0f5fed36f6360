package outbox

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/edge"
)

// SpoolOptions are what a Spool needs. Dir and Boot have no default.
type SpoolOptions struct {
	Dir         string // of the segments; nobody else's
	Boot        string // the name of this boot of the machine
	Bytes       int64  // of the ring on flash, whole MiB from 2 to 256; 0: 16 MiB
	Memory      int    // bytes of records in memory, from 128 KiB; 0: 1 MiB
	FlashPerDay int64  // bytes a day at which records are written while cut off; 0: 56 MB
	SyncCost    int    // bytes the file system writes of its own for each batch; 0: 14 KiB; below: none

	Log  *slog.Logger // nil: silent
	Disk Disk         // nil: the real one
}

const (
	defaultBytes  = 16 << 20
	defaultMemory = 1 << 20
	leastMemory   = 2 * maxBatch
	// defaultFlashPerDay leaves some of the 60 MB a day for what is saved up, for
	// starts, and for what else lies in the folder.
	defaultFlashPerDay = 56e6
	// defaultSyncCost is ext4's: every write changes the file's time, which it commits
	// to its journal 5 s later in 12 KiB, and to its place in 4 KiB now and then.
	// Seen: 13.6 KB at one batch in 15 s.
	defaultSyncCost = 14 << 10
	// flashAtOnce is what may be written after a time of quiet without being paced:
	// the first quarter of an hour of a partition, at an event a second.
	flashAtOnce = 2 << 20
)

// Times.
const (
	// Settle is how long a D1 record may wait in memory for its acknowledgement.
	Settle = 5 * time.Second
	// SettleMost is how long it may wait when the day's flash is used up.
	SettleMost = time.Minute
	// ackEvery is how soon an acknowledgement of records on flash is written when
	// nothing else is. To lose one costs the sending of what it was for.
	ackEvery = time.Minute
	// ackMany of them are worth a write of their own, ackSoon after the last: while a
	// backlog drains, a power cut has that much of it sent again.
	ackMany = 64
	ackSoon = time.Second
	// A disk that failed is tried again after retryBase, then twice that, up to
	// retryMost. One node's disk has nobody to take turns with, so there is no jitter.
	retryBase = 5 * time.Second
	retryMost = 5 * time.Minute
)

// NewSpool checks options. It touches no file. Records may be appended at once; they
// wait in memory for Open.
func NewSpool(o SpoolOptions) (*Spool, error) {
	o.Bytes = cmp.Or(o.Bytes, defaultBytes)
	o.Memory = cmp.Or(o.Memory, defaultMemory)
	o.FlashPerDay = cmp.Or(o.FlashPerDay, defaultFlashPerDay)
	o.SyncCost = max(0, cmp.Or(o.SyncCost, defaultSyncCost))
	switch {
	case o.Dir == "":
		return nil, errors.New("cannot create spool: no folder")
	case !edge.IsName(o.Boot):
		return nil, fmt.Errorf("cannot create spool: boot %.70q is no name: %w", o.Boot, edge.ErrInvalid)
	case o.Bytes < 2*segmentBytes || o.Bytes > 256*segmentBytes:
		return nil, fmt.Errorf("cannot create spool: %d bytes on flash: %w", o.Bytes, edge.ErrInvalid)
	case o.Memory < leastMemory:
		return nil, fmt.Errorf("cannot create spool: %d bytes in memory: %w", o.Memory, edge.ErrInvalid)
	case o.FlashPerDay < 0:
		return nil, fmt.Errorf("cannot create spool: %d bytes a day: %w", o.FlashPerDay, edge.ErrInvalid)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Disk == nil {
		o.Disk = osDisk{}
	}
	return &Spool{
		options:   o,
		turn:      make(chan struct{}, 1),
		wake:      make(chan struct{}, 1),
		allowance: newAllowance(o.FlashPerDay, flashAtOnce),
		slots:     make([]slot, o.Bytes/segmentBytes),
		ring:      ring{epoch: newEpoch(), open: noSegment},
		next:      1,
		began:     1,
		warnings:  map[string]edge.Warning{},
	}, nil
}
