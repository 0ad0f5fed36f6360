package boltfile_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/edge/boltfile"
)

// BenchmarkFile_Commit changes one record of a file that has many: what a commit costs
// beside the disk is the seal over all of them.
func BenchmarkFile_Commit(b *testing.B) {
	for _, count := range []int{16, 256, 4096} {
		b.Run(fmt.Sprintf("%dKiB", count), func(b *testing.B) {
			o := next(options(b.TempDir()))
			o.Layout.MaxBytes = 24 << 20
			want := boltfile.Records{}
			for i := range count {
				want[fmt.Sprintf("part/%08d", i)] = []byte(strings.Repeat("x", 1<<10))
			}
			file, _ := open(b, o, boltfile.Absent)
			must(b, file.Rebuild(want))
			for i := 0; b.Loop(); i++ {
				want = want.With(boltfile.Change{Bucket: "part", Key: "00000007", Value: fmt.Append(nil, i)})
				if _, err := file.Commit(b.Context(), want); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFile_Open is a start: check in a child, read, seal.
func BenchmarkFile_Open(b *testing.B) {
	o := options(filled(b, 5))
	for b.Loop() {
		file, _ := open(b, o, boltfile.Intact)
		must(b, file.Close())
	}
}
