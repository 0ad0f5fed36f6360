package boltfile

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// Records are the values of a file by "bucket/key". A bucket's name has no slash; a key
// may have some, and is not empty. Nobody changes records that a File has seen.
type Records map[string][]byte

// Change is one record to write, or to remove when the value is nil.
type Change struct {
	Bucket, Key string
	Value       []byte
}

// With gives the records as changes make them. The values are shared.
func (r Records) With(changes ...Change) Records {
	next := maps.Clone(r)
	if next == nil {
		next = Records{}
	}
	for _, c := range changes {
		if c.Value == nil {
			delete(next, c.Bucket+"/"+c.Key)
			continue
		}
		next[c.Bucket+"/"+c.Key] = c.Value
	}
	return next
}

// Changes lists, in order, what makes the records those of want.
func (r Records) Changes(want Records) []Change {
	var list []Change
	for name, value := range want {
		if have, found := r[name]; !found || !bytes.Equal(have, value) {
			list = append(list, changeOf(name, value))
		}
	}
	for name := range r {
		if _, wanted := want[name]; !wanted {
			list = append(list, changeOf(name, nil))
		}
	}
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key))
	})
	return list
}

func changeOf(name string, value []byte) Change {
	bucket, key, _ := strings.Cut(name, "/")
	return Change{bucket, key, value}
}

// seal hashes everything but the seal, so that pages of different commits, or values
// with a flipped bit, never pass for one state. bbolt has checksums for its meta pages
// alone.
func (r Records) seal() []byte {
	sum := sha256.New()
	var size [8]byte
	part := func(b []byte) {
		binary.BigEndian.PutUint64(size[:], uint64(len(b)))
		sum.Write(size[:]) // a hash does not fail
		sum.Write(b)
	}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if name != keySeal {
			part([]byte(name))
			part(r[name])
		}
	}
	return hex.AppendEncode(nil, sum.Sum(nil))
}
