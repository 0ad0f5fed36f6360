package boltfile

import (
	"encoding/binary"
	"hash/fnv"
	"os"
)

// Where bbolt keeps what in a page with a meta, all in the processor's byte order:
// a header of 16 bytes, magic, version, page size, flags (4 each), root bucket (16),
// freelist, high-water mark, transaction id, and the FNV-1a of all from magic on.
const (
	metaStart  = 16
	metaTxID   = 64
	metaSum    = 72
	metaEnd    = 80
	metaMagic  = 0xED0CDAED
	metaLayout = 2
)

// dropNewestMeta makes the newer of two good meta pages invalid, which takes the
// file one commit back. It tells whether there were two.
func dropNewestMeta(content []byte) bool {
	size := os.Getpagesize()
	if !isMeta(content) || len(content) < size+metaEnd || !isMeta(content[size:]) {
		return false
	}
	newest := content
	if other := content[size:]; metaTx(other) > metaTx(newest) {
		newest = other
	}
	clear(newest[metaStart:metaEnd])
	return true
}

func metaTx(page []byte) uint64 { return binary.NativeEndian.Uint64(page[metaTxID:]) }

func isMeta(page []byte) bool {
	if len(page) < metaEnd {
		return false
	}
	sum := fnv.New64a()
	sum.Write(page[metaStart:metaSum]) // a hash does not fail
	return binary.NativeEndian.Uint32(page[metaStart:]) == metaMagic &&
		binary.NativeEndian.Uint32(page[metaStart+4:]) == metaLayout &&
		binary.NativeEndian.Uint64(page[metaSum:]) == sum.Sum64()
}
