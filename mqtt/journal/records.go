package journal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/mqtt/outbox"
)

// The tree of link.db, schema 1, beside what boltfile keeps in meta. A value of two
// parts is a line of JSON and what follows it.
//
//	meta
//	  epoch     16 hexadecimal digits
//	  needFull  "true" until the fleet was told everything
//	  confirms  "true" when this epoch has met a fleet that confirms
//	  boot      JSON: bootRecord
//	  stream    JSON: numbers
//	  root      decimal: the newest version by which issuers were forgotten; may be missing
//	seen
//	  <issuer>  window
//	command
//	  <id>      JSON: opened │ the command
//	reply
//	  <id>      JSON: reply │ the reply
//	stream
//	  %016x     JSON: entryRecord │ the body, unless it is that of a reply
//	note
//	  <name>    of whoever wrote it
const (
	bucketMeta    = "meta"
	bucketSeen    = "seen"
	bucketCommand = "command"
	bucketReply   = "reply"
	bucketStream  = "stream"
	bucketNote    = "note"
)

// Layout is what link.db holds, for whoever checks the file.
func Layout() boltfile.Layout {
	return boltfile.Layout{
		Schema:   1,
		Buckets:  []string{bucketSeen, bucketCommand, bucketReply, bucketStream, bucketNote},
		MaxBytes: maxFile,
		Check:    CheckRecords,
	}
}

// CheckRecords tells whether a journal can be read from records.
func CheckRecords(r boltfile.Records) error {
	_, err := decode(r)
	return err
}

// entryRecord is an entry as it is written; its number is its key.
type entryRecord struct {
	Kind    string     `json:"kind"`
	Boot    string     `json:"boot"`
	MonoMs  int64      `json:"monoMs"`
	Time    *time.Time `json:"time,omitempty"`
	Quality string     `json:"quality,omitempty"`
	Reply   string     `json:"reply,omitempty"` // id of the command whose reply it is
}

// headBounds are those of a first line.
var headBounds = edge.JSONBounds{Size: 2 << 10, Depth: 2}

// twoParts writes a value of two parts.
func twoParts(head any, tail []byte) ([]byte, error) {
	line, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("cannot encode record: %w", err)
	}
	return slices.Concat(line, []byte("\n"), tail), nil
}

func readParts(value []byte, head any) (tail []byte, err error) {
	line, tail, _ := bytes.Cut(value, []byte("\n"))
	_, err = edge.DecodeJSON(line, headBounds, head)
	return tail, err
}

// decoder reads records into a state.
type decoder struct {
	*state
	problems []error
}

// decode reads what a file holds. What does not fit is boltfile.ErrDamaged.
func decode(r boltfile.Records) (*state, error) {
	d := decoder{state: newState()}
	d.records = maps.Clone(r)
	if len(r) == 0 {
		return nil, fmt.Errorf("%w: no records", boltfile.ErrDamaged)
	}
	d.meta(r)
	for _, name := range slices.Sorted(maps.Keys(r)) {
		bucket, key, _ := strings.Cut(name, "/")
		if err := d.record(bucket, key, r[name]); err != nil && len(d.problems) < 4 {
			d.problems = append(d.problems, fmt.Errorf("record %.100q: %w", name, err))
		}
	}
	d.settle()
	if len(d.problems) > 0 {
		return nil, fmt.Errorf("%w: %w", boltfile.ErrDamaged, errors.Join(d.problems...))
	}
	return d.state, nil
}

var errRecord = errors.New("does not fit")

func (d *decoder) meta(r boltfile.Records) {
	flag := func(name string) bool { return string(r[bucketMeta+"/"+name]) == "true" }
	d.epoch = string(r[bucketMeta+"/epoch"])
	d.needFull, d.confirms = flag("needFull"), flag("confirms")
	_, boot := edge.DecodeJSON(r[bucketMeta+"/boot"], headBounds, &d.boot)
	if root, known := r[bucketMeta+"/root"]; known {
		var err error
		if d.root, err = strconv.ParseUint(string(root), 10, 64); err != nil {
			d.problems = append(d.problems, fmt.Errorf("meta/root: %w", err))
		}
	}
	d.stream.numbers = numbers{}
	_, stream := edge.DecodeJSON(r[bucketMeta+"/stream"], headBounds, &d.stream.numbers)
	n := d.stream.numbers
	if !isEpoch(d.epoch) || boot != nil || stream != nil || n.Next == 0 || n.Acked >= n.Next || n.DroppedTo >= n.Next || (n.Dropped == 0) != (n.DroppedTo == 0) {
		d.problems = append(d.problems, fmt.Errorf("meta: %w", errRecord))
	}
}

func isEpoch(text string) bool {
	return len(text) == 16 && strings.Trim(text, "0123456789abcdef") == ""
}

func (d *decoder) record(bucket, key string, value []byte) (err error) {
	switch bucket {
	case bucketSeen:
		d.seen[key], err = decodeWindow(value)
	case bucketCommand:
		return d.command(key, value)
	case bucketReply:
		return d.reply(key, value)
	case bucketStream:
		return d.entry(key, value)
	}
	return err
}

func (d *decoder) command(id string, value []byte) (err error) {
	var o opened
	if o.text, err = readParts(value, &o); err != nil {
		return err
	}
	if err := json.Unmarshal(o.text, &o.command); err != nil {
		return err
	}
	if o.command.ID != id || o.Stage.Final() || o.Taken > d.boot.Count || o.Began > d.boot.Count {
		return errRecord
	}
	d.open[id] = o
	d.openBytes += len(o.text)
	d.order = max(d.order, o.Order)
	return nil
}

func (d *decoder) reply(id string, value []byte) (err error) {
	var r reply
	if r.body, err = readParts(value, &r); err != nil {
		return err
	}
	said, err := r.decode()
	if err != nil {
		return err
	}
	if said.Command != id || !said.Stage.Final() || r.Seq == 0 || r.Seq >= d.stream.Next {
		return errRecord
	}
	d.final[id] = r
	d.finals = append(d.finals, id)
	d.replies += len(r.body)
	d.order = max(d.order, r.Order)
	return nil
}

func (r reply) decode() (*edge.Reply, error) {
	said := &edge.Reply{}
	if err := json.Unmarshal(r.body, said); err != nil {
		return nil, fmt.Errorf("cannot read reply: %w", err)
	}
	return said, nil
}

// entry reads one of the stream. Replies come before, by the order of their buckets.
func (d *decoder) entry(key string, value []byte) error {
	seq, err := strconv.ParseUint(key, 16, 64)
	if err != nil || key != streamKey(seq) {
		return errRecord
	}
	var head entryRecord
	body, err := readParts(value, &head)
	if err != nil {
		return err
	}
	if head.Reply != "" {
		r, found := d.final[head.Reply]
		if !found || r.Seq != seq || len(body) > 0 {
			return errRecord
		}
		body = r.body
	}
	if seq >= d.stream.Next || seq <= d.stream.Acked || seq <= d.stream.DroppedTo || !edge.IsName(head.Kind) || head.MonoMs < 0 {
		return errRecord
	}
	d.stream.push(head.entry(seq, body))
	return nil
}

func (h *entryRecord) entry(seq uint64, body []byte) entry {
	e := entry{reply: h.Reply, Entry: outbox.Entry{Seq: seq, Boot: h.Boot, Record: outbox.Record{
		Class: outbox.D2, Mono: time.Duration(h.MonoMs) * time.Millisecond, Quality: h.Quality, Kind: h.Kind, Body: body,
	}}}
	if h.Time != nil {
		e.Time = *h.Time
	}
	return e
}

func (e *entry) encode() ([]byte, error) {
	head := entryRecord{Kind: e.Kind, Boot: e.Boot, MonoMs: e.Mono.Milliseconds(), Quality: e.Quality, Reply: e.reply}
	if !e.Time.IsZero() {
		head.Time = &e.Time
	}
	if e.reply != "" {
		return twoParts(head, nil)
	}
	return twoParts(head, e.Body)
}

func streamKey(seq uint64) string { return fmt.Sprintf("%016x", seq) }

// settle puts in order what was read by name.
func (d *decoder) settle() {
	slices.SortFunc(d.finals, func(a, b string) int { return cmp.Compare(d.final[a].Order, d.final[b].Order) })
}
