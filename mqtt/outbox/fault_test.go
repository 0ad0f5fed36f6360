package outbox_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/mqtt/outbox"
)

// work uses a spool for some minutes, and returns the numbers of its D1 records and
// how far they were acknowledged.
func work(t *testing.T, spool *outbox.Spool) (seqs []uint64, acked uint64) {
	t.Helper()
	for tag := range uint64(60) {
		seq := add(t, spool, outbox.D1, tag, 6000)
		if n := len(seqs); n > 0 && seq != seqs[n-1]+1 {
			seqs, acked = nil, 0 // a ring was found: what waits has new numbers
			for _, e := range all(t, spool, 100) {
				if e.Gap == nil && e.Seq < seq {
					seqs = append(seqs, e.Seq)
				}
			}
		}
		seqs = append(seqs, seq)
		if tag%20 == 19 {
			acked = seqs[len(seqs)/2]
			spool.Ack(here(spool, acked))
		}
		time.Sleep(7 * time.Second)
	}
	time.Sleep(20 * time.Minute)
	synctest.Wait()
	return seqs, acked
}

// wantKept: all that was not acknowledged is there, in memory as on flash.
func wantKept(tb testing.TB, spool *outbox.Spool, seqs []uint64, acked uint64) error {
	tb.Helper()
	have := map[uint64]bool{}
	for _, e := range all(tb, spool, 100) {
		if e.Gap == nil && have[e.Seq] {
			return fmt.Errorf("%d is there twice", e.Seq)
		}
		have[e.Seq] = e.Gap == nil
	}
	for _, seq := range seqs {
		if seq > acked && !have[seq] {
			return fmt.Errorf("%d is gone", seq)
		}
	}
	return nil
}

// TestSpool_NthFails lets each operation of the disk fail in turn, once or some times
// in a row: nothing is lost, and the spool recovers by itself.
func TestSpool_NthFails(t *testing.T) {
	t.Parallel()
	stride := 1
	if testing.Short() {
		stride = 4
	}
	for _, why := range []error{unix.EIO, unix.ENOSPC} {
		for _, often := range []int{1, 5} {
			t.Run(fmt.Sprintf("%v%dTimes", why, often), func(t *testing.T) {
				for n := 1; n < 120; n += stride * (1 + n/20) {
					synctest.Test(t, func(t *testing.T) {
						disk, op := newMemDisk(), ""
						disk.fail = func(name string, done int) error {
							if done < n || done >= n+often {
								return nil
							}
							op = name
							return why
						}
						spool, stop := start(t, small(disk))
						seqs, acked := work(t, spool)
						if err := wantKept(t, spool, seqs, acked); err != nil && op != "read" {
							t.Errorf("operation %d (%s): %v", n, op, err)
						}
						wantWarnings(t, spool)
						stop()
						must(t, spool.Close())
						disk.setFail(nil)
						spool = open(t, small(disk))
						if err := wantKept(t, spool, seqs, acked); err != nil {
							t.Errorf("operation %d (%s), opened again: %v", n, op, err)
						}
						must(t, spool.Close())
					})
				}
			})
		}
	}
}

func TestSpool_BadDisk(t *testing.T) {
	t.Run("FailsForLong", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			disk := newMemDisk()
			o := small(disk)
			o.Memory = 128 << 10
			spool, stop := start(t, o)
			synctest.Wait()
			disk.setFail(func(op string, _ int) error {
				if op == "sync" {
					return unix.EIO
				}
				return nil
			})
			for tag := range uint64(500) {
				add(t, spool, outbox.D1, tag, 1000)
				time.Sleep(10 * time.Second)
			}
			status := spool.Status()
			if status.Kept || status.MemoryBytes > o.Memory || status.Counts.LostMemory == 0 {
				t.Errorf("status = %+v, want memory only, and bounded", status)
			}
			if most := uint64(500*10/300 + 10); status.Counts.FlashSyncs > most+2 {
				t.Errorf("%d tries in %v, want some %d", status.Counts.FlashSyncs, 5000*time.Second, most)
			}
			wantWarnings(t, spool, "spool-storage-failed")
			wantTold(t, all(t, spool, 50), status.Counts.LostMemory, 500)
			disk.setFail(nil)
			time.Sleep(6 * time.Minute)
			synctest.Wait()
			wantWarnings(t, spool)
			if status := spool.Status(); !status.Kept || status.Memory != 0 {
				t.Errorf("status = %+v, want everything on flash", status)
			}
			stop()
			must(t, spool.Close())
		})
	})
	t.Run("CannotBeOpened", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			disk := newMemDisk()
			spool := open(t, small(disk))
			add(t, spool, outbox.D1, 1, 10)
			ring := spool.Status().Epoch
			must(t, spool.Close())

			disk.setFail(func(op string, _ int) error { return unix.EIO })
			spool, stop := start(t, small(disk))
			add(t, spool, outbox.D1, 2, 10)
			if status := spool.Status(); status.Epoch == ring || status.Kept {
				t.Errorf("status = %+v, want an epoch of memory's own", status)
			}
			wantStory(t, spool, "1")
			disk.setFail(nil)
			time.Sleep(time.Minute)
			synctest.Wait()
			if status := spool.Status(); status.Epoch != ring || !status.Kept {
				t.Errorf("status = %+v, want the ring's epoch %s", status, ring)
			}
			wantStory(t, spool, "1 2")
			stop()
			must(t, spool.Close())
		})
	})
	t.Run("LostAtClose", func(t *testing.T) {
		disk := newMemDisk()
		disk.fail = func(string, int) error { return unix.EROFS }
		spool := open(t, small(disk))
		wantWarnings(t, spool, "spool-storage-failed")
		add(t, spool, outbox.D1, 1, 10)
		if err := spool.Close(); err == nil {
			t.Error("Close hides that a record was lost")
		}
	})
	t.Run("StuckKeepsNobodyWaiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			disk := newMemDisk()
			spool, stop := start(t, small(disk))
			synctest.Wait()
			release := make(chan struct{})
			disk.mu.Lock()
			disk.stuck = func(op string) <-chan struct{} {
				if op == "sync" {
					return release
				}
				return nil
			}
			disk.mu.Unlock()
			for tag := range uint64(5000) {
				add(t, spool, outbox.D1, tag, 1000)
				synctest.Wait()
			}
			status := spool.Status()
			if status.MemoryBytes > 1<<20+64<<10 || status.Counts.LostMemory == 0 {
				t.Errorf("status = %+v, want bounded memory", status)
			}
			close(release)
			synctest.Wait()
			wantTold(t, all(t, spool, 100), status.Counts.LostMemory, 5000)
			stop()
			must(t, spool.Close())
		})
	})
}

// wantTold: each number from 1 to last is there, or told to be lost in memory.
func wantTold(tb testing.TB, entries []outbox.Entry, lost, last uint64) {
	tb.Helper()
	next, told := uint64(1), uint64(0)
	for _, e := range entries {
		switch {
		case e.Gap == nil:
			wantContent(tb, []outbox.Entry{e}, next, next)
		case e.Gap.From != next || e.Gap.Why != outbox.WhyMemory || e.Gap.Count != e.Gap.To-e.Gap.From+1:
			tb.Errorf("at %d there is a gap %+v", next, *e.Gap)
		default:
			told += e.Gap.Count
		}
		next = e.Seq + 1
	}
	if told != lost || next != last+1 {
		tb.Errorf("%d records told to be lost up to %d, want %d up to %d", told, next-1, lost, last)
	}
}

// TestSpool_DiskFull: what grows fails, what is overwritten does not. So once the
// segments have their size, nothing the spool does can fail for want of space.
func TestSpool_DiskFull(t *testing.T) {
	full := func(int) error { return unix.ENOSPC }
	fill := func(t *testing.T, spool *outbox.Spool) {
		t.Helper()
		for tag := range uint64(4000) {
			add(t, spool, outbox.D1, tag, 2000)
			synctest.Wait()
		}
		if lost := spool.Status().Counts.LostMemory; lost > 0 {
			t.Errorf("%d records were lost in memory", lost)
		}
	}
	t.Run("AfterTheSegmentsWereMade", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			disk := newMemDisk()
			spool, stop := start(t, small(disk))
			synctest.Wait()
			disk.mu.Lock()
			disk.room = full
			disk.mu.Unlock()
			fill(t, spool)
			wantWarnings(t, spool, "spool-full")
			stop()
			must(t, spool.Close())
			spool = open(t, small(disk))
			if !spool.Status().Kept {
				t.Error("cannot be opened on a full disk")
			}
			must(t, spool.Close())
		})
	})
	t.Run("RoomForOneSegment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			disk, room := newMemDisk(), 3<<19
			disk.room = func(grow int) error {
				if room -= grow; room < 0 {
					return unix.ENOSPC
				}
				return nil
			}
			spool, stop := start(t, small(disk))
			synctest.Wait()
			wantWarnings(t, spool, "spool-short")
			fill(t, spool)
			wantWarnings(t, spool, "spool-full", "spool-short")
			disk.mu.Lock()
			disk.room = nil
			disk.mu.Unlock()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			wantWarnings(t, spool, "spool-full")
			stop()
			must(t, spool.Close())
		})
	})
	t.Run("RoomForNone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			disk := newMemDisk()
			disk.room = full
			spool, stop := start(t, small(disk))
			epoch := spool.Status().Epoch
			add(t, spool, outbox.D1, 1, 10)
			spool.Ack(here(spool, 1))
			add(t, spool, outbox.D1, 2, 10)
			time.Sleep(time.Minute)
			synctest.Wait()
			wantWarnings(t, spool, "spool-storage-failed")
			disk.mu.Lock()
			disk.room = nil
			disk.mu.Unlock()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			wantWarnings(t, spool)
			if status := spool.Status(); status.Epoch != epoch || status.Acked != 1 || status.Memory != 0 {
				t.Errorf("status = %+v, want epoch %s and one record on flash", status, epoch)
			}
			wantStory(t, spool, "2")
			stop()
			must(t, spool.Close())
		})
	})
}
