package journal

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/mqtt/outbox"
)

// The codes of warnings.
const (
	warnFailed    = "link-storage-failed" // what must be kept is refused
	warnReadOnly  = "link-read-only"      // the same, as the disk is
	warnNewer     = "link-newer"          // the same, hands off the file
	warnRecovered = "link-recovered"      // the last commit was dropped
	warnRebuilt   = "link-rebuilt"        // the file was lost
	warnFull      = "link-full"           // the oldest went, and the fleet does not know yet
)

// Status tells how the stream is, in the words of the other one. Flash is counted in
// syncs alone.
func (j *Journal) Status() outbox.Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	byCode := func(a, b edge.Warning) int { return cmp.Compare(a.Code, b.Code) }
	s := j.state
	return outbox.Status{
		Epoch: s.epoch, Next: s.stream.Next, Acked: j.ackedLocked(), Kept: j.kept,
		Memory: len(s.stream.entries), MemoryBytes: s.stream.bytes,
		Counts: j.counts, Warnings: slices.SortedFunc(maps.Values(j.warnings), byCode),
	}
}

// Waiting counts the entries that are not acknowledged.
func (j *Journal) Waiting() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	acked, n := j.ackedLocked(), uint64(0)
	for _, e := range j.state.stream.entries {
		if e.Seq > acked {
			n++
		}
	}
	return n
}

// report says what the file went through.
func (j *Journal) report(found boltfile.Found) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch found.Rung {
	case boltfile.Older:
		j.warnLocked(warnRecovered, fmt.Sprintf("the last commit was damaged and dropped: %v", found.Why), "none needed; the damaged file lies beside it")
	case boltfile.Lost:
		j.warnLocked(warnRebuilt, fmt.Sprintf("the database was damaged and built anew: %v", found.Why), "none needed; the damaged file lies beside it")
	}
}

func (j *Journal) warnLocked(code, detail, remedy string) {
	since := time.Now()
	if before, raised := j.warnings[code]; raised {
		since = before.Since
	} else {
		j.options.Log.Warn("warning raised", "code", code, "subject", j.options.Path, "detail", detail)
	}
	j.warnings[code] = edge.Warning{Code: code, Subject: j.options.Path, Detail: detail, Remedy: remedy, Since: since}
}

func (j *Journal) settledLocked(code string) {
	if _, raised := j.warnings[code]; raised {
		delete(j.warnings, code)
		j.options.Log.Info("warning cleared", "code", code)
	}
}
