package journal

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"maps"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/mqtt/outbox"
)

// state is all that the journal knows. Once it is published nobody changes it.
type state struct {
	records boltfile.Records // as the file has them

	epoch    string
	needFull bool
	confirms bool
	boot     bootRecord
	order    uint64 // of the latest command or reply
	root     uint64 // the newest version by which issuers were forgotten

	seen      map[string]window // by issuer
	open      map[string]opened // by id
	openBytes int
	final     map[string]reply // by id
	finals    []string         // ids, oldest first
	replies   int              // bytes of the final ones
	stream    stream
}

// bootRecord counts the boots that this file has seen.
type bootRecord struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// opened is a command that is not final.
type opened struct {
	Digest string     `json:"digest"`
	Order  uint64     `json:"order"`
	Stage  edge.Stage `json:"stage"`           // received or started
	Taken  uint64     `json:"taken"`           // the boots counted then
	Began  uint64     `json:"began,omitempty"` // the boots counted at its start; 0: it is not known to have started

	text    []byte // the command, encoded
	command edge.Command
}

// reply is a final one.
type reply struct {
	Digest string `json:"digest"`
	Order  uint64 `json:"order"`
	Seq    uint64 `json:"seq"` // of its entry in the stream

	body []byte
}

// stream is what must reach the fleet.
type stream struct {
	numbers
	entries []entry // ascending; behind acked and droppedTo
	bytes   int
}

// numbers are what there is to know of a stream beside its entries.
type numbers struct {
	Next      uint64 `json:"next"`                // number of the next entry
	Acked     uint64 `json:"acked"`               // all up to here are acknowledged
	Dropped   uint64 `json:"dropped,omitempty"`   // entries that went because there were too many
	DroppedTo uint64 `json:"droppedTo,omitempty"` // up to here
}

// entry is one of the stream. When it is a final reply its body is that reply's.
type entry struct {
	outbox.Entry
	reply string // its command's id; empty: the body is the entry's own
}

func (e *entry) size() int { return entryCost + len(e.Kind) + len(e.Body) }

// entryCost is what an entry takes beside its texts and its body.
const entryCost = 200

func newState() *state {
	s := &state{
		records: boltfile.Records{}, seen: map[string]window{}, open: map[string]opened{}, final: map[string]reply{},
	}
	s.begin()
	s.stream.Next = 1
	return s
}

// begin draws an epoch: whoever knew the numbers of the last is gone.
func (s *state) begin() {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	s.epoch, s.needFull, s.confirms = hex.EncodeToString(b[:]), true, false
}

// draft is a state in the making.
type draft struct {
	state
	changed bool // it differs from the state it was drawn from
	trimmed bool // by an acknowledgement, which alone is not worth a commit at once
	added   uint64
	lost    uint64 // of the stream, for want of room
}

// draft gives a copy that may be changed, without the entries that were acknowledged.
// Entries are shared: they are only cut off in front and put on behind, and what lies
// behind the end of a published list is nobody's.
func (s *state) draft(acked uint64) *draft {
	d := &draft{state: *s}
	d.records = maps.Clone(s.records)
	d.seen, d.open, d.final = maps.Clone(s.seen), maps.Clone(s.open), maps.Clone(s.final)
	d.trim(acked)
	d.trimmed, d.changed = d.changed, false
	return d
}

func (d *draft) put(bucket, key string, value []byte) {
	name := bucket + "/" + key
	if have, found := d.records[name]; found && bytes.Equal(have, value) {
		return
	}
	d.records[name] = value
	d.changed = true
}

func (d *draft) remove(bucket, key string) {
	name := bucket + "/" + key
	if _, found := d.records[name]; found {
		delete(d.records, name)
		d.changed = true
	}
}
