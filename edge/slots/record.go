package slots

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// A record is a file of one block, in text:
//
//	holdfast slots 1 SHA-256 of all that follows this line
//	{"generation":7,"active":"b", …}
//	… empty lines up to the full size
//
// The launcher that reads it may be years older than the agent that wrote it. So fields may
// be added, and never change their meaning.
const (
	recordSize = 4096
	recordHead = "holdfast slots 1 "

	maxBad    = 8   // versions remembered as bad; fewer when they do not fit
	maxReason = 200 // bytes
)

// record is a state with the number of its writing.
type record struct {
	Generation uint64 `json:"generation"`
	State
}

var errDamaged = errors.New("the record is damaged")

// encode makes the file. Of what does not fit the oldest bad version is left out.
func (r record) encode() ([]byte, error) {
	for {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(r); err != nil {
			return nil, fmt.Errorf("cannot encode record: %w", err)
		}
		room := recordSize - len(recordHead) - hex.EncodedLen(sha256.Size) - 1 - text.Len()
		if room >= 0 {
			text.Write(bytes.Repeat([]byte("\n"), room))
			sum := sha256.Sum256(text.Bytes())
			return append([]byte(recordHead+hex.EncodeToString(sum[:])+"\n"), text.Bytes()...), nil
		}
		if len(r.Bad) == 0 {
			return nil, errors.New("cannot encode record: it does not fit")
		}
		r.Bad = r.Bad[1:]
	}
}

// decode reads a file. What it returns without an error can be relied on.
func decode(file []byte) (record, error) {
	head, body, found := bytes.Cut(file, []byte("\n"))
	sum := sha256.Sum256(body)
	if len(file) != recordSize || !found || string(head) != recordHead+hex.EncodeToString(sum[:]) {
		return record{}, errDamaged
	}
	var r record
	if err := json.Unmarshal(body, &r); err != nil {
		return record{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err := r.check(); err != nil {
		return record{}, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return r, nil
}

// check holds what the rest of the package relies on.
func (r record) check() error {
	switch {
	case r.Generation == 0:
		return errors.New("it has no generation")
	case !r.Active.known() || !r.Confirmed.known():
		return fmt.Errorf("it names %q and %q", r.Active, r.Confirmed)
	case r.TriesLeft < 0 || r.TriesLeft > Tries || r.TriesLeft > 0 && !r.OnTrial():
		return fmt.Errorf("it has %d tries", r.TriesLeft)
	case r.OnTrial() && r.Active == Factory:
		return errors.New("the factory's program is on trial")
	case len(r.Bad) > maxBad:
		return fmt.Errorf("it has %d bad versions", len(r.Bad))
	}
	for _, name := range []Name{A, B} {
		inUse := r.Active == name || r.Confirmed == name
		if slot := r.Slot(name); inUse || slot.Version != "" {
			if err := slot.Check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// plain makes others' text fit for a record and for a terminal.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason-len("…")], "") + "…"
	}
	return text
}
