package filetest

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// ways are those in which a file goes bad, each given what the file should be.
var ways = [...]struct {
	name string
	do   func(r *rand.Rand, b []byte) []byte
}{
	{"BitRot", func(r *rand.Rand, b []byte) []byte {
		for range 1 + r.IntN(64) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		return b
	}},
	{"OneBitInAMeta", func(r *rand.Rand, b []byte) []byte {
		b[r.IntN(2)*os.Getpagesize()+r.IntN(80)] ^= 1 << r.IntN(8)
		return b
	}},
	{"ZeroedMetas", func(r *rand.Rand, b []byte) []byte {
		if r.IntN(2) == 0 {
			clear(b[os.Getpagesize() : 2*os.Getpagesize()])
		}
		clear(b[:os.Getpagesize()])
		return b
	}},
	{"ZeroedSectors", func(r *rand.Rand, b []byte) []byte {
		for range 1 + r.IntN(16) {
			at := r.IntN(len(b)/512) * 512
			clear(b[at : at+512])
		}
		return b
	}},
	{"Truncated", func(r *rand.Rand, b []byte) []byte { return b[:r.IntN(len(b))] }},
	{"TruncatedAtPage", func(r *rand.Rand, b []byte) []byte {
		return b[:r.IntN(len(b)/os.Getpagesize())*os.Getpagesize()]
	}},
	{"PagesSwapped", func(r *rand.Rand, b []byte) []byte {
		page := os.Getpagesize()
		one, other := 2+r.IntN(len(b)/page-2), 2+r.IntN(len(b)/page-2)
		kept := append([]byte{}, b[one*page:(one+1)*page]...)
		copy(b[one*page:], b[other*page:(other+1)*page])
		copy(b[other*page:], kept)
		return b
	}},
	{"PageHeaders", func(r *rand.Rand, b []byte) []byte { // ids, kinds and counts of pages
		for range 1 + r.IntN(4) {
			b[r.IntN(len(b)/os.Getpagesize())*os.Getpagesize()+r.IntN(64)] = byte(r.Uint32())
		}
		return b
	}},
	{"LyingSync", func(r *rand.Rand, b []byte) []byte { // metas arrived, half of the rest did not
		for at := 2 * os.Getpagesize(); at+512 <= len(b); at += 512 {
			if r.IntN(2) == 0 {
				clear(b[at : at+512])
			}
		}
		return b
	}},
	{"Random", func(r *rand.Rand, b []byte) []byte {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}},
}

// Damage makes a copy of a folder with one file damaged, in the way and at the places
// that the seed says, and names the way.
func Damage(t testing.TB, from, to, file string, seed int) string {
	t.Helper()
	must(t, os.CopyFS(to, os.DirFS(from)))
	path := filepath.Join(to, file)
	content, err := os.ReadFile(path)
	must(t, err)
	way := ways[seed%len(ways)]
	must(t, os.WriteFile(path, way.do(rand.New(rand.NewPCG(uint64(seed), 7)), content), 0o600))
	return way.name
}
