package policycache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"holdfast/policycache"
)

// written is what this process has caused to be written to block devices.
func written(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	must(b, err)
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "write_bytes: "); found {
			count, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			must(b, err)
			return count
		}
	}
	b.Fatal("the kernel does not count written bytes")
	return 0
}

// BenchmarkStore_Apply puts one version after the other in force. flash-B/op is the
// kernel's count of this process; where the folder is in memory it is 0.
func BenchmarkStore_Apply(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 10, 36 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			fleet := newFleet(b)
			store := open(b, fleet.options(b.TempDir()))
			envelopes := make([][]byte, b.N)
			for i := range envelopes {
				envelopes[i] = fleet.policy(b, uint64(i)+1, size)
			}
			before := written(b)
			b.ResetTimer()
			for _, envelope := range envelopes {
				must(b, store.Apply(b.Context(), envelope))
			}
			b.StopTimer()
			b.ReportMetric(float64(written(b)-before)/float64(b.N), "flash-B/op")
			b.ReportMetric(float64(len(envelopes[0])), "envelope-B")
		})
	}
}

// BenchmarkStore_Verify is Apply without the disk: the policy is in force already, and
// is verified all the same.
func BenchmarkStore_Verify(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 10, 36 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			fleet := newFleet(b)
			store := open(b, fleet.options(b.TempDir()))
			envelope := fleet.policy(b, 1, size)
			must(b, store.Apply(b.Context(), envelope))
			for b.Loop() {
				must(b, store.Apply(b.Context(), envelope))
			}
		})
	}
}

// BenchmarkStore_Open is a start: lock, check in a child, read, verify.
func BenchmarkStore_Open(b *testing.B) {
	for name, spoil := range map[string]func(b *testing.B, dir string){
		"Intact": func(*testing.B, string) {},
		"Damaged": func(b *testing.B, dir string) {
			must(b, os.WriteFile(filepath.Join(dir, "state.db"), make([]byte, 1<<16), 0o600))
		},
	} {
		b.Run(name, func(b *testing.B) {
			fleet := newFleet(b)
			dir := fleet.filledWith(b, 2, 8<<10)
			for b.Loop() {
				b.StopTimer()
				spoil(b, dir)
				store, err := policycache.New(fleet.options(dir))
				must(b, err)
				b.StartTimer()
				must(b, store.Open(b.Context()))
				b.StopTimer()
				must(b, store.Close())
				b.StartTimer()
			}
		})
	}
}

// BenchmarkStore_Snapshot is what every task pays.
func BenchmarkStore_Snapshot(b *testing.B) {
	store := open(b, newFleet(b).options(b.TempDir()))
	for b.Loop() {
		store.Snapshot()
	}
}
