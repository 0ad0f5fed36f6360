package outbox_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/mqtt/outbox"
)

// filled is the disk of a ring of four segments with records in three, and how many.
func filled(tb testing.TB) (*memDisk, outbox.SpoolOptions, uint64) {
	tb.Helper()
	disk := newMemDisk()
	o := small(disk)
	o.Bytes = 4 << 20
	spool, stop := start(tb, o)
	records := uint64(0)
	for ; spool.Status().Segments < 3; records++ {
		add(tb, spool, outbox.D1, records, 3000)
		must(tb, flushed(tb, spool, records))
	}
	stop()
	must(tb, spool.Close())
	return disk, o, records
}

// flushed flushes every now and then.
func flushed(tb testing.TB, spool *outbox.Spool, tag uint64) error {
	tb.Helper()
	if tag%20 != 0 {
		return nil
	}
	return spool.Flush(tb.Context())
}

// What comes at once, before there was time to prepare more than the first segment, costs nothing
// that is there.
func TestSpool_NewRingInAHurry(t *testing.T) {
	o := small(newMemDisk())
	o.Bytes = 4 << 20
	spool := open(t, o)
	const records = 800 // some more than two segments
	for i := range uint64(records) {
		add(t, spool, outbox.D1, i, 3000)
		must(t, flushed(t, spool, i))
	}
	wantContent(t, all(t, spool, 50), 1, records)
	if lost := spool.Status().Counts.LostFull; lost != 0 {
		t.Errorf("%d records went as the ring was full, and it was not", lost)
	}
	must(t, spool.Close())
}

func TestSpool_DamagedSegment(t *testing.T) {
	garble := func(file *image, pages ...int) {
		for _, n := range pages {
			file.pages[n] = slices.Repeat([]byte{0xa5}, imagePage)
		}
	}
	t.Run("CostsOnlyItself", func(t *testing.T) {
		disk, o, records := filled(t)
		disk.files["001.segment"] = newImage()
		spool := open(t, o)
		add(t, spool, outbox.D1, records, 10)
		entries := all(t, spool, 50)
		var gaps []outbox.Gap
		for _, e := range entries {
			if e.Gap != nil {
				gaps = append(gaps, *e.Gap)
			}
		}
		if len(gaps) != 2 || gaps[0].Why != outbox.WhyDamaged || gaps[1].To < 257*100_000_000 || gaps[1].Why != outbox.WhyMemory {
			t.Fatalf("gaps = %+v, want one of a segment, and one of the numbers it may have reserved", gaps)
		}
		if lost := gaps[0].To - gaps[0].From + 1; lost > records*2/3 || uint64(len(entries)) != records-lost+3 {
			t.Errorf("%d of %d records are lost, %d entries told", lost, records, len(entries))
		}
		wantWarnings(t, spool, "spool-damaged")
		spool.Ack(here(spool, entries[len(entries)-1].Seq))
		wantWarnings(t, spool)
		must(t, spool.Close())
	})
	t.Run("InTheMiddle", func(t *testing.T) {
		disk, o, records := filled(t)
		garble(disk.files["000.segment"], 20, 21, 22)
		spool := open(t, o)
		entries := all(t, spool, 50)
		at := slices.IndexFunc(entries, func(e outbox.Entry) bool { return e.Gap != nil })
		if at < 0 || entries[at].Gap.Why != outbox.WhyDamaged {
			t.Fatalf("no gap of what is damaged in %s", story(entries))
		}
		wantContent(t, entries[:at], 1, entries[at].Gap.From-1)
		wantContent(t, entries[at+1:], entries[at].Gap.To+1, records)
		must(t, spool.Close())
	})
	t.Run("All", func(t *testing.T) {
		disk, o, _ := filled(t)
		before := open(t, o)
		epoch := before.Status().Epoch
		must(t, before.Close())
		for _, file := range disk.files {
			for n := range file.pages {
				garble(file, n)
			}
		}
		spool := open(t, o)
		wantWarnings(t, spool, "spool-damaged")
		if status := spool.Status(); status.Epoch == epoch || !status.Kept {
			t.Errorf("status = %+v, want a ring made anew", status)
		}
		add(t, spool, outbox.D1, 0, 10)
		wantStory(t, spool, "1")
		must(t, spool.Close())
	})
	t.Run("CutShort", func(t *testing.T) {
		disk, o, records := filled(t)
		disk.files["002.segment"].size = 5000
		spool := open(t, o)
		if next := spool.Status().Next; next <= records {
			t.Errorf("number %d would be given out again", next)
		}
		entries := all(t, spool, 50)
		wantContent(t, entries, 1, entries[len(entries)-1].Seq)
		must(t, spool.Close())
	})
	t.Run("CannotBeRead", func(t *testing.T) {
		disk, o, records := filled(t)
		o.Disk = brokenFile{disk, "001.segment"}
		spool := open(t, o)
		if next := spool.Status().Next; next <= records {
			t.Errorf("number %d would be given out again", next)
		}
		add(t, spool, outbox.D1, records, 10)
		if got := fmt.Sprint(len(all(t, spool, 50)) > 10, spool.Status().Kept); got != "true true" {
			t.Errorf("the other segments are there, kept = %s, want true true", got)
		}
		must(t, spool.Close())
	})
}

// brokenFile is a disk on which one file cannot be opened.
type brokenFile struct {
	*memDisk
	name string
}

func (d brokenFile) Open(name string) (outbox.File, error) {
	if name == "spool/"+d.name {
		return nil, unix.EIO
	}
	return d.memDisk.Open(name)
}

func TestSpool_Flush(t *testing.T) {
	disk := newMemDisk()
	spool, err := outbox.NewSpool(small(disk))
	must(t, err)
	if err := spool.Flush(t.Context()); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Flush before Open = %v, want %v", err, edge.ErrUnavailable)
	}
	must(t, spool.Open(t.Context()))
	for tag := range uint64(50) {
		add(t, spool, outbox.D1, tag, 5000)
	}
	must(t, spool.Flush(t.Context()))
	disk.unlock() // killed
	spool = open(t, small(disk))
	wantContent(t, all(t, spool, 20), 1, 50)
	disk.setFail(func(string, int) error { return unix.EIO })
	add(t, spool, outbox.D1, 50, 10)
	if err := spool.Flush(t.Context()); !errors.Is(err, unix.EIO) {
		t.Errorf("Flush to a bad disk = %v, want %v", err, unix.EIO)
	}
	disk.setFail(nil)
	must(t, spool.Close())
}
