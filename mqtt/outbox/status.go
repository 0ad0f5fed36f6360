package outbox

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"holdfast/edge"
)

// Status is the spool at one moment.
type Status struct {
	Epoch       string         `json:"epoch"`
	Next        uint64         `json:"next"`     // number of the next record
	Acked       uint64         `json:"acked"`    // all up to here are acknowledged
	Kept        bool           `json:"kept"`     // false: memory only
	Segments    int            `json:"segments"` // in use
	Memory      int            `json:"memory"`   // records in memory
	MemoryBytes int            `json:"memoryBytes"`
	Counts      Counts         `json:"counts"`
	Warnings    []edge.Warning `json:"warnings,omitempty"`
}

// Counts are of this run.
type Counts struct {
	Appended   uint64 `json:"appended"`
	Refused    uint64 `json:"refused"`    // because no number was certain to be new
	LostFull   uint64 `json:"lostFull"`   // records that went because the ring was full
	LostMemory uint64 `json:"lostMemory"` // records that went because memory was full
	FlashBytes uint64 `json:"flashBytes"` // handed to the disk, without the file system's own
	FlashSyncs uint64 `json:"flashSyncs"`
}

// The codes of warnings.
const (
	warnFailed  = "spool-storage-failed" // memory only
	warnShort   = "spool-short"          // not all segments could be made
	warnFull    = "spool-full"           // the oldest went, and the fleet does not know yet
	warnDamaged = "spool-damaged"        // the same, for what flash did not give back
)

// Status tells how the spool is.
func (s *Spool) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, failed := s.warnings[warnFailed]
	byCode := func(a, b edge.Warning) int { return cmp.Compare(a.Code, b.Code) }
	return Status{
		Epoch: epochName(s.ring.epoch), Next: s.next, Acked: s.ring.acked,
		Kept: s.adopted && !failed, Segments: len(s.ring.chain),
		Memory: s.d0.len() + s.d1.len(), MemoryBytes: s.d0.bytes + s.d1.bytes,
		Counts: s.counts, Warnings: slices.SortedFunc(maps.Values(s.warnings), byCode),
	}
}

func (s *Spool) warnLocked(code, detail, remedy string) {
	since := time.Now()
	if before, raised := s.warnings[code]; raised {
		since = before.Since
	}
	s.warnings[code] = edge.Warning{Code: code, Subject: s.options.Dir, Detail: detail, Remedy: remedy, Since: since}
}

func (s *Spool) warnFullLocked() {
	s.warnLocked(warnFull, "the oldest telemetry goes, because the ring is full", "connect the node, or give the ring more room")
}

// warn raises a warning, and logs it once.
func (s *Spool) warn(code, detail, remedy string) {
	s.mu.Lock()
	_, raised := s.warnings[code]
	s.warnLocked(code, detail, remedy)
	s.mu.Unlock()
	if !raised {
		s.options.Log.Warn("warning raised", "code", code, "subject", s.options.Dir, "detail", detail)
	}
}

// settled ends a warning.
func (s *Spool) settled(code string) {
	s.mu.Lock()
	_, raised := s.warnings[code]
	delete(s.warnings, code)
	s.mu.Unlock()
	if raised {
		s.options.Log.Info("warning cleared", "code", code)
	}
}
