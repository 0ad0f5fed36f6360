package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// A batch is what one sync makes durable. It begins on a page of its own, so that no
// write ever touches a page that was synced before:
//
//	magic 8 │ sum 4 │ head size 2 │ count 2 │ records' size 4
//	epoch, generation, acked, reserved, droppedTo, dropped, first, last 8 each
//	clean 1 │ boot size 1 │ boot
//	count × ( uvarint size │ sum 4 │ payload )
//	zeros to the end of the page
//
// Sums are CRC-32C. That of the head covers all of the head behind it. That of a
// record goes on from epoch, generation and first, so bytes of an earlier lap of the
// ring, or of a batch that was never finished, never verify in a place of a later
// one. A payload is class 1 │ uvarint seq-first │ uvarint monoMs │ uvarint wall clock
// in ms │ uvarint size, quality │ uvarint size, kind │ body. Numbers are little-endian.
const (
	page         = 4 << 10
	segmentBytes = 1 << 20
	maxBatch     = 64 << 10 // a batch with its head and padding
	magic        = "hfspool1"
	headFixed    = 86
	maxName      = 63 // of a boot, or a kind
	headMost     = headFixed + maxName
	sumAt        = len(magic)
	// recordMost is what a record takes at most beside its texts and its body.
	recordMost = 3 + 4 + 1 + 3*binary.MaxVarintLen64 + 2 + 2
)

// head is the beginning of a batch. Each carries all there is to know about the ring,
// so that only the newest needs to be read.
type head struct {
	epoch      uint64
	generation uint64 // of the segment; grows by each use of any slot
	acked      uint64
	reserved   uint64 // no greater number was given out before this batch was durable
	droppedTo  uint64 // up to here records went for want of room
	dropped    uint64 // how many of them; 0 once the gap is acknowledged
	first      uint64 // of the records; 0: there are none
	last       uint64
	count      int
	length     int // of the records
	clean      bool
	boot       string
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errNoBatch = errors.New("no batch here")
	errRecord  = errors.New("record does not verify")
)

func (h *head) size() int { return headFixed + len(h.boot) }

// pages is how much room a batch takes.
func (h *head) pages() int { return (h.size() + h.length + page - 1) / page }

func (h *head) seed() uint32 {
	var b [24]byte
	binary.LittleEndian.PutUint64(b[0:], h.epoch)
	binary.LittleEndian.PutUint64(b[8:], h.generation)
	binary.LittleEndian.PutUint64(b[16:], h.first)
	return crc32.Checksum(b[:], castagnoli)
}

func (h *head) numbers() []*uint64 {
	return []*uint64{&h.epoch, &h.generation, &h.acked, &h.reserved, &h.droppedTo, &h.dropped, &h.first, &h.last}
}

// encodeBatch makes a batch in buf, padded to whole pages. It fills in what of the
// head follows from the entries.
func encodeBatch(buf []byte, h *head, entries []Entry) []byte {
	h.count, h.first, h.last = len(entries), 0, 0
	if h.count > 0 {
		h.first, h.last = entries[0].Seq, entries[h.count-1].Seq
	}
	buf = append(buf[:0], make([]byte, h.size())...)
	seed := h.seed()
	var payload []byte
	for i := range entries {
		payload = appendPayload(payload[:0], &entries[i], h.first)
		buf = binary.AppendUvarint(buf, uint64(len(payload)))
		buf = binary.LittleEndian.AppendUint32(buf, crc32.Update(seed, castagnoli, payload))
		buf = append(buf, payload...)
	}
	h.length = len(buf) - h.size()
	h.put(buf)
	return append(buf, make([]byte, h.pages()*page-len(buf))...)
}

func (h *head) put(b []byte) {
	copy(b, magic)
	binary.LittleEndian.PutUint16(b[12:], uint16(h.size()))
	binary.LittleEndian.PutUint16(b[14:], uint16(h.count))
	binary.LittleEndian.PutUint32(b[16:], uint32(h.length))
	at := 20
	for _, n := range h.numbers() {
		binary.LittleEndian.PutUint64(b[at:], *n)
		at += 8
	}
	if h.clean {
		b[at] = 1
	}
	b[at+1] = byte(len(h.boot))
	copy(b[headFixed:], h.boot)
	binary.LittleEndian.PutUint32(b[sumAt:], crc32.Checksum(b[sumAt+4:h.size()], castagnoli))
}

// decodeHead reads the head of a batch from the beginning of b, which may be anything.
func decodeHead(b []byte) (h head, err error) {
	if len(b) < headFixed || !bytes.HasPrefix(b, []byte(magic)) {
		return head{}, errNoBatch
	}
	size := int(binary.LittleEndian.Uint16(b[12:]))
	if size < headFixed || size > headMost || size > len(b) || size != headFixed+int(b[headFixed-1]) ||
		crc32.Checksum(b[sumAt+4:size], castagnoli) != binary.LittleEndian.Uint32(b[sumAt:]) {
		return head{}, errNoBatch
	}
	for i, n := range h.numbers() {
		*n = binary.LittleEndian.Uint64(b[20+8*i:])
	}
	h.count = int(binary.LittleEndian.Uint16(b[14:]))
	length := binary.LittleEndian.Uint32(b[16:])
	h.clean = b[headFixed-2] == 1
	h.boot = string(b[headFixed:size])
	if length > maxBatch || size+int(length) > maxBatch || !h.possible() {
		return head{}, errNoBatch
	}
	h.length = int(length)
	return h, nil
}

// greatest is what a number may be: beyond, numbers in JSON cease to be whole.
const greatest = 1<<53 - 1

// possible: the numbers are some that the spool could have written.
func (h *head) possible() bool {
	return h.first <= h.last && h.reserved <= greatest && h.generation <= greatest && h.dropped <= greatest &&
		max(h.last, h.acked, h.droppedTo) <= h.reserved
}

// decodeRecords hands on the records of a batch, in order, until one does not verify.
// The bodies are parts of b.
func decodeRecords(h *head, b []byte, yield func(Entry)) error {
	if len(b) < h.length {
		return errRecord
	}
	b = b[:h.length]
	seed, before := h.seed(), uint64(0)
	for range h.count {
		size, n := binary.Uvarint(b)
		if n <= 0 || len(b)-n < 4 || size > uint64(len(b)-n-4) {
			return errRecord
		}
		sum, payload := binary.LittleEndian.Uint32(b[n:]), b[n+4:n+4+int(size)]
		if crc32.Update(seed, castagnoli, payload) != sum {
			return errRecord
		}
		entry, ok := decodePayload(payload, h.first)
		if !ok || entry.Seq <= before || entry.Seq > h.last {
			return errRecord
		}
		before, b = entry.Seq, b[n+4+int(size):]
		entry.Boot = h.boot
		yield(entry)
	}
	return nil
}

func appendPayload(b []byte, e *Entry, first uint64) []byte {
	b = append(b, byte(e.Class))
	b = binary.AppendUvarint(b, e.Seq-first)
	b = binary.AppendUvarint(b, uint64(e.Mono.Milliseconds()))
	b = binary.AppendUvarint(b, wallMs(e.Time))
	b = binary.AppendUvarint(b, uint64(len(e.Quality)))
	b = append(b, e.Quality...)
	b = binary.AppendUvarint(b, uint64(len(e.Kind)))
	b = append(b, e.Kind...)
	return append(b, e.Body...)
}

// wallMs is 0 for a time that is not known. A clock before 1970 knows none.
func wallMs(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(0, t.UnixMilli()))
}

func decodePayload(b []byte, first uint64) (e Entry, ok bool) {
	f := fields{rest: b}
	e.Class = Class(f.byte())
	e.Seq = first + f.number()
	e.Mono = time.Duration(f.number()) * time.Millisecond
	if ms := f.number(); ms > 0 {
		e.Time = time.UnixMilli(int64(ms)).UTC()
	}
	e.Quality, e.Kind = f.text(MaxQuality), f.text(maxName)
	e.Body = f.rest
	return e, !f.bad && e.check() == nil
}

// fields takes a payload apart.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) byte() byte {
	if len(f.rest) == 0 {
		f.bad = true
		return 0
	}
	b := f.rest[0]
	f.rest = f.rest[1:]
	return b
}

func (f *fields) number() uint64 {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 || f.bad {
		f.bad = true
		return 0
	}
	f.rest = f.rest[n:]
	return v
}

func (f *fields) text(most int) string {
	size := f.number()
	if f.bad || size > uint64(most) || size > uint64(len(f.rest)) {
		f.bad = true
		return ""
	}
	s := string(f.rest[:size])
	f.rest = f.rest[size:]
	return s
}
