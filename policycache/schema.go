package policycache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The tree of state.db, schema 1. A record is a key in one of these buckets; other
// buckets belong to others and are left alone.
//
//	meta
//	  schema      "1"
//	  seal        SHA-256, hex, of all records of these buckets but itself
//	  epoch       hex; drawn anew whenever history was lost
//	  needFull    "true" until the fleet was told everything since the epoch began
//	root
//	  %016d       envelopes of the roots that followed the flashed one, in order
//	slot.A        one of two policies, as in the file policy.A; a bucket of its own, so
//	  envelope    that the other is not rewritten with it
//	  root        the version of the root it was accepted under
//	slot.B        the same
//	force
//	  policy      JSON: which of them is in force, since when
//	trust
//	  floors, clock, lease, boot, equal
//	              JSON of the values of that name in state
//	refused
//	  <digest>    JSON: a policy that failed to apply, and why
//
// Migration: a reader of schema n brings records of every schema below n up to n in
// memory, one step of migrations at a time; the next commit writes the result. What
// is newer than the reader is never written to.
const schemaVersion = 1

// buckets lists the buckets that belong to the policy cache.
var buckets = [...]string{"meta", "root", "slot.A", "slot.B", "force", "trust", "refused"}

// migrations brings records from the schema of its index to the next; index 0 is for
// none, since there never was a schema 0.
var migrations = [...]func(records) error{0: nil}

var (
	errDamaged = errors.New("the database is damaged")
	errNewer   = errors.New("the database was written by a newer version")
)

const (
	keySchema = "meta/schema"
	keySeal   = "meta/seal"
)

// records are the values of the tree by bucket/key.
type records map[string][]byte

// seal hashes everything but the seal, so that pages of different commits, or values
// with a flipped bit, never pass for one state.
func (r records) seal() []byte {
	sum := sha256.New()
	var size [8]byte
	part := func(b []byte) {
		binary.BigEndian.PutUint64(size[:], uint64(len(b)))
		sum.Write(size[:]) // a hash does not fail
		sum.Write(b)
	}
	for _, key := range slices.Sorted(maps.Keys(r)) {
		if key != keySeal {
			part([]byte(key))
			part(r[key])
		}
	}
	return hex.AppendEncode(nil, sum.Sum(nil))
}

// upgrade checks records as they were read and brings them to this schema.
func (r records) upgrade() error {
	schema, err := strconv.Atoi(string(r[keySchema]))
	switch {
	case err != nil || schema < 1:
		return fmt.Errorf("%w: no schema", errDamaged)
	case schema > schemaVersion:
		return fmt.Errorf("%w: schema %d, this one knows %d", errNewer, schema, schemaVersion)
	case !bytes.Equal(r[keySeal], r.seal()):
		return fmt.Errorf("%w: the seal does not fit", errDamaged)
	}
	for ; schema < schemaVersion; schema++ {
		if err := migrations[schema](r); err != nil {
			return fmt.Errorf("cannot migrate state from schema %d: %w", schema, err)
		}
	}
	return nil
}

// change is one record to write, or to delete when the value is nil.
type change struct {
	bucket, key string
	value       []byte
}

// changes lists, in order, what makes the records those of want.
func (r records) changes(want records) []change {
	var list []change
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if have, found := r[name]; !found || !bytes.Equal(have, want[name]) {
			bucket, key, _ := strings.Cut(name, "/")
			list = append(list, change{bucket, key, want[name]})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if _, wanted := want[name]; !wanted {
			bucket, key, _ := strings.Cut(name, "/")
			list = append(list, change{bucket, key, nil})
		}
	}
	return list
}
