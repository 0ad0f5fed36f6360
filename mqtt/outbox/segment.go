package outbox

import (
	"bytes"
	"cmp"
)

// segment is one lap of a slot.
type segment struct {
	slot       int
	generation uint64
	last       uint64 // greatest number in it; 0: no records
	end        int    // of what is in use, a multiple of page
	damaged    bool   // something behind end was lost
}

// scan is what a slot's content was found to be.
type scan struct {
	segment
	epoch  uint64
	newest head // of the newest batch
	holes  bool // pages before end that do not verify
	torn   bool // behind end something begins like a batch and is none
}

// scanSegment reads a slot's content, which may be anything. Batches of earlier laps
// lie behind those of the newest, and count only when none of the newest is left.
func scanSegment(content []byte) (scan, bool) {
	newest, found := newestHead(content)
	if !found {
		return scan{}, false
	}
	s := scan{segment: segment{generation: newest.generation}, epoch: newest.epoch}
	for at := 0; at < len(content); {
		h, err := decodeHead(content[at:])
		switch size := h.pages() * page; {
		case err != nil:
			s.torn = s.torn || bytes.HasPrefix(content[at:], []byte(magic))
			at += page
		case h.generation != s.generation || h.epoch != s.epoch:
			at += page
		case at+size > len(content) || decodeRecords(&h, content[at+h.size():], func(Entry) {}) != nil:
			s.torn = true
			at += page
		default:
			s.take(h, at, size)
			at += size
		}
	}
	return s, true
}

func (s *scan) take(h head, at, size int) {
	s.holes = s.holes || at > s.end
	s.end, s.torn = at+size, false
	s.last = max(s.last, h.last)
	s.newest = h
}

// newestHead finds the lap a slot is in.
func newestHead(content []byte) (newest head, found bool) {
	for at := 0; at < len(content); at += page {
		h, err := decodeHead(content[at:])
		if err == nil && (!found || h.generation > newest.generation) {
			newest, found = h, true
		}
	}
	return newest, found
}

// readSlot reads all of a slot. What cannot be read is zeros.
func readSlot(file File, content []byte) {
	if _, err := file.ReadAt(content, 0); err == nil {
		return
	}
	for at := 0; at < len(content); at += page {
		if _, err := file.ReadAt(content[at:at+page], int64(at)); err != nil {
			clear(content[at : at+page])
		}
	}
}

// reader collects entries behind a place, in order, each number once.
type reader struct {
	epoch   uint64
	cursor  uint64 // the greatest number seen
	most    int    // entries
	counts  bool   // only how many: what the head of a batch says, where all of it counts
	count   uint64
	bytes   int // may still be collected
	entries []Entry
	suspect bool            // something between the last entry and here does not verify
	damaged map[uint64]bool // entries in front of which that was so
}

func (r *reader) full() bool { return len(r.entries) >= r.most || r.bytes <= 0 }

func (r *reader) take(e Entry) {
	if e.Seq <= r.cursor || r.full() {
		return
	}
	if r.suspect {
		r.damaged[e.Seq] = true
	}
	r.cursor, r.suspect = e.Seq, false
	r.count++
	if r.counts {
		return
	}
	r.bytes -= e.size()
	r.entries = append(r.entries, e)
}

// read goes through a segment. What does not verify is passed over: it costs itself.
func (r *reader) read(file File, seg segment) {
	first := make([]byte, page)
	for at := 0; at < seg.end && !r.full(); {
		h, err := r.headAt(file, first, at)
		switch {
		case err != nil || h.generation != seg.generation || h.epoch != r.epoch || at+h.pages()*page > seg.end:
			r.suspect = true
			at += page
		case h.last <= r.cursor:
			r.suspect = r.suspect && h.count == 0
			at += h.pages() * page
		case r.counts && h.first > r.cursor:
			r.count, r.cursor = r.count+uint64(h.count), h.last
			at += h.pages() * page
		default:
			at += r.batch(file, first, &h, at)
		}
	}
	r.suspect = r.suspect || seg.damaged
}

func (r *reader) headAt(file File, first []byte, at int) (head, error) {
	if _, err := file.ReadAt(first, int64(at)); err != nil {
		return head{}, err
	}
	return decodeHead(first)
}

// batch reads the records of one batch and returns how much room was behind them.
func (r *reader) batch(file File, first []byte, h *head, at int) int {
	content := make([]byte, h.pages()*page)
	rest := content[copy(content, first):]
	if _, err := file.ReadAt(rest, int64(at+page)); len(rest) > 0 && err != nil {
		r.suspect = true
		return page
	}
	if decodeRecords(h, content[h.size():], r.take) != nil {
		r.suspect = true
		return page
	}
	return len(content)
}

func byGeneration(a, b scan) int { return cmp.Compare(a.generation, b.generation) }
