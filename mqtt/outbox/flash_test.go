package outbox_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"holdfast/mqtt/outbox"
)

// volume is an ext4 file system that nobody else writes to. Making one needs root.
type volume struct {
	path   string
	device string // its name in /sys/block
}

func newVolume(tb testing.TB) *volume {
	tb.Helper()
	dir := tb.TempDir()
	v := &volume{path: filepath.Join(dir, "volume")}
	must(tb, os.Mkdir(v.path, 0o755))
	image := v.path + ".img"
	command(tb, "truncate", "--size", "512M", image)
	command(tb, "mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
	command(tb, "mount", "-o", "loop,noatime", image, v.path)
	tb.Cleanup(func() { command(tb, "umount", v.path) })
	v.device = filepath.Base(strings.TrimSpace(command(tb, "findmnt", "--noheadings", "--output", "SOURCE", "--target", v.path)))
	return v
}

func command(tb testing.TB, words ...string) string {
	tb.Helper()
	out, err := exec.CommandContext(context.Background(), words[0], words[1:]...).CombinedOutput()
	if err != nil {
		tb.Fatalf("cannot run %q: %v: %s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// written is the device's own count of bytes, after all that is on its way is there.
func (v *volume) written(tb testing.TB) int64 {
	tb.Helper()
	folder, err := os.Open(v.path)
	must(tb, err)
	defer folder.Close()
	must(tb, unix.Syncfs(int(folder.Fd())))
	text, err := os.ReadFile("/sys/block/" + v.device + "/stat")
	must(tb, err)
	const sectorsWritten = 6 // of 512 bytes; see the kernel's block/stat
	var sectors int64
	_, err = fmt.Sscan(strings.Fields(string(text))[sectorsWritten], &sectors)
	must(tb, err)
	return sectors * 512
}

// reportDay says what a day costs, at an event of 200 bytes a second.
func reportDay(b *testing.B, bytes int64, events int) {
	b.Helper()
	perEvent := float64(bytes) / float64(events)
	b.ReportMetric(perEvent, "flash-B/event")
	b.ReportMetric(perEvent*24*60*60/1e6, "MB/day")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFlash_Seconds lives through real seconds, one event in each, and reads the
// block device's counter; so what the file system adds by the clock is in it. Needs
// root. One iteration takes as long as it says:
//
//	go test -run '^$' -bench Flash_Seconds -benchtime 1x ./mqtt/outbox
func BenchmarkFlash_Seconds(b *testing.B) {
	const seconds = 150
	for _, bench := range []struct {
		name      string
		connected bool
		paced     bool // as when a partition has used up what was saved
	}{
		{"Connected", true, false}, {"CutOffAtFirst", false, false}, {"CutOff", false, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				v := newVolume(b)
				spool, stop := start(b, outbox.SpoolOptions{Dir: filepath.Join(v.path, "spool"), Boot: "boot-1"})
				if bench.paced {
					useUp(b, spool)
				}
				awaitSegments(b, spool)
				before := v.written(b)
				ticker := time.NewTicker(time.Second)
				for tag := range uint64(seconds) {
					<-ticker.C
					seq := add(b, spool, outbox.D1, tag, 200)
					if bench.connected {
						spool.Ack(here(spool, seq))
					}
				}
				ticker.Stop()
				reportDay(b, v.written(b)-before, seconds)
				stop()
				must(b, spool.Close())
			}
		})
	}
}

// awaitSegments waits until the ring has its size.
func awaitSegments(b *testing.B, spool *outbox.Spool) {
	b.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for spool.Status().Counts.FlashBytes < 16<<20 {
		<-ticker.C
	}
}

// useUp spends what was saved up, and acknowledges it.
func useUp(b *testing.B, spool *outbox.Spool) {
	b.Helper()
	awaitSegments(b, spool)
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	before := spool.Status().Counts
	for tag := uint64(0); ; tag++ {
		<-ticker.C
		add(b, spool, outbox.D1, tag, outbox.MaxBody)
		now := spool.Status().Counts
		if now.FlashBytes-before.FlashBytes+(now.FlashSyncs-before.FlashSyncs)*14<<10 >= 2<<20 {
			spool.Ack(here(spool, spool.Status().Next-1))
			return
		}
	}
}

// BenchmarkFlash_Batches writes as fast as it can, so nothing the file system adds by
// the clock is in it: batches of a few records, and one record a transaction in a
// database. Needs root.
func BenchmarkFlash_Batches(b *testing.B) {
	const events = 2000
	for _, size := range []int{1, 6, 10, 30} {
		b.Run(fmt.Sprintf("Spool%d", size), func(b *testing.B) {
			for b.Loop() {
				v := newVolume(b)
				o := outbox.SpoolOptions{Dir: filepath.Join(v.path, "spool"), Boot: "boot-1"}
				spool, stop := start(b, o)
				awaitSegments(b, spool)
				stop()
				before := v.written(b)
				for tag := uint64(0); tag < events; {
					for range size {
						add(b, spool, outbox.D1, tag, 200)
						tag++
					}
					must(b, spool.Flush(b.Context()))
				}
				reportDay(b, v.written(b)-before, events)
				must(b, spool.Close())
			}
		})
	}
	b.Run("BboltOnePutATransaction", func(b *testing.B) {
		for b.Loop() {
			v := newVolume(b)
			db, err := bbolt.Open(filepath.Join(v.path, "queue.db"), 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
			must(b, err)
			before := v.written(b)
			for tag := range uint64(events) {
				must(b, db.Update(func(tx *bbolt.Tx) error {
					bucket, err := tx.CreateBucketIfNotExists([]byte("queue"))
					if err != nil {
						return err
					}
					key := []byte(fmt.Sprintf("%016x", tag))
					return bucket.Put(key, record(outbox.D1, tag, 200).Body)
				}))
			}
			reportDay(b, v.written(b)-before, events)
			must(b, db.Close())
		}
	})
}

// BenchmarkSpool_Open is a start with a full ring.
func BenchmarkSpool_Open(b *testing.B) {
	o := outbox.SpoolOptions{Dir: b.TempDir(), Boot: "boot-1", FlashPerDay: 1 << 50}
	spool, stop := start(b, o)
	awaitSegments(b, spool)
	for tag := uint64(0); spool.Status().Segments < 16; tag++ {
		add(b, spool, outbox.D1, tag, 200)
		if tag%500 == 0 {
			must(b, spool.Flush(b.Context()))
		}
	}
	stop()
	must(b, spool.Close())
	for b.Loop() {
		spool := open(b, o)
		b.StopTimer()
		must(b, spool.Close())
		b.StartTimer()
	}
}

// BenchmarkSpool_Append is what a task pays.
func BenchmarkSpool_Append(b *testing.B) {
	spool := open(b, small(newMemDisk()))
	for b.Loop() {
		add(b, spool, outbox.D0, 1, 200)
	}
	must(b, spool.Close())
}
