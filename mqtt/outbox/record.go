package outbox

import (
	"fmt"
	"time"

	"holdfast/edge"
)

// Class says how hard the spool tries to keep a record.
type Class uint8

// The classes. What must be committed before anyone is told is not telemetry.
const (
	D0 Class = iota // memory only
	D1              // memory first, to flash if not acknowledged within Settle
	D2              // committed before anyone is told: never the spool's, but of the stream beside it
)

func (c Class) String() string { return [...]string{"D0", "D1", "D2"}[min(c, D2)] }

// Bounds of one record. The largest is a reply with all it may carry back; an envelope
// around it fits the link's frames of 64 KiB, and it fits a batch.
const (
	MaxBody    = edge.MaxResult + 4<<10
	MaxQuality = 16
)

// Record is something to tell the fleet.
type Record struct {
	Class   Class
	Mono    time.Duration // since boot; kept to the millisecond
	Time    time.Time     // by the wall clock, kept to the millisecond; zero: not known
	Quality string        // of Time, in the words of the envelope
	Kind    string        // a name
	Body    []byte        // belongs to the spool once appended
}

// Entry is a record, or a gap, in its place in the stream.
type Entry struct {
	Seq  uint64 // of a gap: the last number it stands for
	Boot string // in which the record was appended
	Record
	Gap *Gap // nil: a record
}

// Gap stands for numbers whose records are gone, or were never given out.
type Gap struct {
	From  uint64 `json:"from"`
	To    uint64 `json:"to"`
	Count uint64 `json:"count"` // of records known to be lost; 0: not known
	Why   Why    `json:"why"`
}

// Why says what made a gap.
type Why string

// The reasons for gaps.
const (
	// WhyFull: the oldest went because the ring was full.
	WhyFull Why = "full"
	// WhyDamaged: the flash gave back something else than was written.
	WhyDamaged Why = "damaged"
	// WhyMemory: it was in memory only, and was lost there: to the bound of memory, or
	// to the end of the process. After a power cut the stretch reaches to the next
	// number that is certain to be new.
	WhyMemory Why = "memory"
)

// Position is a place in the stream. Numbers of different epochs do not compare.
type Position struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

func (r *Record) check() error {
	switch {
	case r.Class > D1:
		return fmt.Errorf("cannot append record: class %d: %w", r.Class, edge.ErrInvalid)
	case len(r.Body) > MaxBody:
		return fmt.Errorf("cannot append record: body of %d bytes, more than %d: %w", len(r.Body), MaxBody, edge.ErrInvalid)
	case !edge.IsName(r.Kind):
		return fmt.Errorf("cannot append record: kind %.70q: %w", r.Kind, edge.ErrInvalid)
	case len(r.Quality) > MaxQuality:
		return fmt.Errorf("cannot append record: time quality %.20q: %w", r.Quality, edge.ErrInvalid)
	case r.Mono < 0:
		return fmt.Errorf("cannot append record: %v since boot: %w", r.Mono, edge.ErrInvalid)
	}
	return nil
}

// recordCost is what a record takes in memory beside its texts and its body.
const recordCost = 160

func (r *Record) size() int { return recordCost + len(r.Kind) + len(r.Quality) + len(r.Body) }
