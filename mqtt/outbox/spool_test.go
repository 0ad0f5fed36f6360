package outbox_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/mqtt/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// small is a ring of two segments without pacing, so that a few records fill it.
func small(disk outbox.Disk) outbox.SpoolOptions {
	return outbox.SpoolOptions{Dir: "spool", Boot: "boot-1", Bytes: 2 << 20, FlashPerDay: 1 << 50, SyncCost: -1, Disk: disk}
}

func open(tb testing.TB, o outbox.SpoolOptions) *outbox.Spool {
	tb.Helper()
	spool, err := outbox.NewSpool(o)
	must(tb, err)
	must(tb, spool.Open(context.Background()))
	return spool
}

// start opens a spool and runs it until stop.
func start(tb testing.TB, o outbox.SpoolOptions) (spool *outbox.Spool, stop func()) {
	tb.Helper()
	spool = open(tb, o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- spool.Run(ctx) }()
	return spool, func() {
		tb.Helper()
		cancel()
		must(tb, <-ended)
	}
}

// record has a body that tells its tag, and is as long as wanted.
func record(class outbox.Class, tag uint64, size int) outbox.Record {
	body := binary.LittleEndian.AppendUint64(nil, tag)
	r := rand.New(rand.NewPCG(tag, 1))
	for len(body) < size {
		body = binary.LittleEndian.AppendUint64(body, r.Uint64())
	}
	return outbox.Record{Class: class, Mono: time.Duration(tag) * time.Millisecond, Kind: "task", Body: body}
}

func add(tb testing.TB, spool *outbox.Spool, class outbox.Class, tag uint64, size int) uint64 {
	tb.Helper()
	seq, err := spool.Append(record(class, tag, size))
	must(tb, err)
	return seq
}

// all reads everything there is.
func all(tb testing.TB, spool *outbox.Spool, most int) []outbox.Entry {
	tb.Helper()
	var entries []outbox.Entry
	at := outbox.Position{}
	for {
		batch, err := spool.Read(at, most)
		must(tb, err)
		if len(batch.Entries) == 0 {
			return entries
		}
		entries = append(entries, batch.Entries...)
		at = outbox.Position{Epoch: batch.Epoch, Seq: entries[len(entries)-1].Seq}
	}
}

// story is entries in short: numbers, and gaps with their reasons.
func story(entries []outbox.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		if e.Gap != nil {
			fmt.Fprintf(&b, " [%d-%d %d %s]", e.Gap.From, e.Gap.To, e.Gap.Count, e.Gap.Why)
			continue
		}
		fmt.Fprintf(&b, " %d", e.Seq)
	}
	return strings.TrimSpace(b.String())
}

func wantStory(tb testing.TB, spool *outbox.Spool, want string) {
	tb.Helper()
	if got := story(all(tb, spool, 7)); got != want {
		tb.Errorf("stream = %s, want %s", got, want)
	}
}

func wantWarnings(tb testing.TB, spool *outbox.Spool, want ...string) {
	tb.Helper()
	var got []string
	for _, warning := range spool.Status().Warnings {
		got = append(got, warning.Code)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		tb.Errorf("warnings = %v, want %v", got, want)
	}
}

func here(spool *outbox.Spool, seq uint64) outbox.Position {
	return outbox.Position{Epoch: spool.Status().Epoch, Seq: seq}
}

func TestNewSpool(t *testing.T) {
	for name, o := range map[string]outbox.SpoolOptions{
		"NoFolder":     {Boot: "b"},
		"NoBoot":       {Dir: "x"},
		"TooSmall":     {Dir: "x", Boot: "b", Bytes: 1 << 20},
		"TooLarge":     {Dir: "x", Boot: "b", Bytes: 1 << 30},
		"NoMemory":     {Dir: "x", Boot: "b", Memory: 1000},
		"LongBoot":     {Dir: "x", Boot: strings.Repeat("b", 64)},
		"NegativeRate": {Dir: "x", Boot: "b", FlashPerDay: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := outbox.NewSpool(o); err == nil {
				t.Errorf("%+v was taken", o)
			}
		})
	}
}

func TestSpool_Append(t *testing.T) {
	t.Run("Refuses", func(t *testing.T) {
		spool := open(t, small(newMemDisk()))
		for name, r := range map[string]outbox.Record{
			"LargeBody":   {Kind: "k", Body: make([]byte, outbox.MaxBody+1)},
			"NoKind":      {},
			"LongKind":    {Kind: strings.Repeat("k", 64)},
			"LongQuality": {Kind: "k", Quality: strings.Repeat("q", outbox.MaxQuality+1)},
			"NoClass":     {Kind: "k", Class: 7},
			"BeforeBoot":  {Kind: "k", Mono: -1},
		} {
			if _, err := spool.Append(r); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("%s: Append = %v, want %v", name, err, edge.ErrInvalid)
			}
		}
		must(t, spool.Close())
		if _, err := spool.Append(record(outbox.D1, 1, 0)); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("Append after Close = %v, want %v", err, edge.ErrUnavailable)
		}
		if _, err := spool.Read(outbox.Position{}, 1); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("Read after Close = %v, want %v", err, edge.ErrUnavailable)
		}
		must(t, spool.Close())
	})
	t.Run("BeforeOpen", func(t *testing.T) {
		disk := newMemDisk()
		spool := open(t, small(disk))
		add(t, spool, outbox.D1, 1, 100)
		must(t, spool.Close())

		spool, err := outbox.NewSpool(small(disk))
		must(t, err)
		add(t, spool, outbox.D0, 2, 100)
		add(t, spool, outbox.D1, 3, 100)
		wantStory(t, spool, "") // their numbers are not settled
		must(t, spool.Open(t.Context()))
		wantStory(t, spool, "1 2 3")
		must(t, spool.Close())
	})
	t.Run("OldestGoFromMemory", func(t *testing.T) {
		o := small(newMemDisk())
		o.Memory = 128 << 10
		spool := open(t, o) // nobody runs it: nothing is written
		for tag := range uint64(200) {
			add(t, spool, outbox.Class(tag%2), tag, 1000)
		}
		status := spool.Status()
		if status.MemoryBytes > o.Memory || status.Counts.LostMemory == 0 || int(status.Counts.LostMemory)+status.Memory != 200 {
			t.Errorf("status = %+v", status)
		}
		entries := all(t, spool, 50)
		lost := status.Counts.LostMemory
		if got, want := story(entries[:2]), fmt.Sprintf("[1-%d %d memory] %d", lost, lost, lost+1); got != want {
			t.Errorf("stream begins %s, want %s", got, want)
		}
		must(t, spool.Close())
	})
	t.Run("TellsWhoWaits", func(t *testing.T) {
		spool := open(t, small(newMemDisk()))
		changed := spool.Changed()
		add(t, spool, outbox.D0, 1, 10)
		<-changed
		select {
		case <-spool.Changed():
			t.Error("changed without an Append")
		default:
		}
		must(t, spool.Close())
	})
}

func TestSpool_Settle(t *testing.T) {
	t.Run("AcknowledgedInTimeIsNeverWritten", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			spool, stop := start(t, small(newMemDisk()))
			synctest.Wait()
			before := spool.Status().Counts
			for tag := range uint64(10_000) {
				seq := add(t, spool, outbox.D1, tag, 200)
				time.Sleep(time.Second)
				spool.Ack(here(spool, seq))
			}
			if after := spool.Status().Counts; after.FlashBytes != before.FlashBytes {
				t.Errorf("%d bytes were written", after.FlashBytes-before.FlashBytes)
			}
			stop()
			must(t, spool.Close())
		})
	})
	t.Run("WithinFiveSeconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := small(newMemDisk())
			o.FlashPerDay, o.SyncCost = 0, 0
			spool, stop := start(t, o)
			synctest.Wait()
			before := spool.Status().Counts
			add(t, spool, outbox.D1, 1, 200)
			add(t, spool, outbox.D0, 2, 200)
			time.Sleep(outbox.Settle - 1)
			synctest.Wait()
			if syncs := spool.Status().Counts.FlashSyncs - before.FlashSyncs; syncs != 0 {
				t.Errorf("%d syncs before time", syncs)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			status := spool.Status()
			if syncs, inMemory := status.Counts.FlashSyncs-before.FlashSyncs, status.Memory; syncs != 1 || inMemory != 1 {
				t.Errorf("%d syncs and %d records in memory, want 1 and the one of D0", syncs, inMemory)
			}
			wantStory(t, spool, "1 2")
			stop()
			must(t, spool.Close())
		})
	})
	t.Run("PacedWhenTheDayIsUsedUp", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := outbox.SpoolOptions{Dir: "spool", Boot: "boot-1", Disk: newMemDisk()}
			spool, stop := start(t, o)
			synctest.Wait()
			before := spool.Status().Counts
			const day = 24 * 60 * 60
			for tag := range uint64(day) {
				add(t, spool, outbox.D1, tag, 200)
				time.Sleep(time.Second)
			}
			after := spool.Status().Counts
			syncs := after.FlashSyncs - before.FlashSyncs
			cost := after.FlashBytes - before.FlashBytes + syncs*14<<10
			if cost > 60e6 || syncs < day/61 {
				t.Errorf("%d batches costing %d bytes, want 60 MB at most, and one a minute at least", syncs, cost)
			}
			t.Logf("%d batches of %d bytes, %.1f MB with the file system's own", syncs, (after.FlashBytes-before.FlashBytes)/syncs, float64(cost)/1e6)
			stop()
			must(t, spool.Close())
		})
	})
	t.Run("AtOnceWhenMemoryFills", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			spool, stop := start(t, small(newMemDisk()))
			for tag := range uint64(100) {
				add(t, spool, outbox.D1, tag, 10_000)
				synctest.Wait()
			}
			if status := spool.Status(); status.Counts.LostMemory > 0 || status.MemoryBytes > 1<<19 {
				t.Errorf("status = %+v", status)
			}
			stop()
			must(t, spool.Close())
		})
	})
}

func TestSpool_Ack(t *testing.T) {
	t.Run("IsBelievedOnlyForWhatWasGivenOut", func(t *testing.T) {
		spool := open(t, small(newMemDisk()))
		add(t, spool, outbox.D1, 1, 10)
		spool.Ack(outbox.Position{Epoch: "0000000000000000", Seq: 1})
		spool.Ack(here(spool, 2))
		wantStory(t, spool, "1")
		spool.Ack(here(spool, 1))
		spool.Ack(here(spool, 0))
		wantStory(t, spool, "")
		must(t, spool.Close())
	})
	t.Run("IsKeptEachSecondWhileManyCome", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			disk := newMemDisk()
			spool, stop := start(t, small(disk))
			for tag := range uint64(1000) {
				add(t, spool, outbox.D1, tag, 10)
			}
			time.Sleep(outbox.Settle)
			synctest.Wait()
			before := spool.Status().Counts
			for seq := range uint64(900) { // 100 a second
				time.Sleep(10 * time.Millisecond)
				spool.Ack(here(spool, seq+1))
			}
			synctest.Wait()
			if syncs := spool.Status().Counts.FlashSyncs - before.FlashSyncs; syncs < 8 || syncs > 10 {
				t.Errorf("%d syncs in 9 s of many acknowledgements, want one a second", syncs)
			}
			stop()
			disk.unlock() // the process is killed
			spool = open(t, small(disk))
			if got := all(t, spool, 1000); got[0].Seq < 901-164 || got[0].Seq > 901 {
				t.Errorf("goes on from %d, want at most a second and 64 before 901", got[0].Seq)
			}
			must(t, spool.Close())
		})
	})
	t.Run("TakesNoRecordAlong", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			spool, stop := start(t, small(newMemDisk()))
			add(t, spool, outbox.D1, 1, 10)
			time.Sleep(outbox.Settle)
			synctest.Wait()
			spool.Ack(here(spool, 1))
			before := spool.Status().Counts
			time.Sleep(time.Second)
			for seq := range uint64(60) { // one just before the mark of what was before is written
				time.Sleep(time.Minute - 2*time.Second)
				add(t, spool, outbox.D1, 1, 10)
				time.Sleep(2 * time.Second)
				spool.Ack(here(spool, seq+2))
			}
			if syncs := spool.Status().Counts.FlashSyncs - before.FlashSyncs; syncs != 1 {
				t.Errorf("%d syncs in an hour of one record a minute, acknowledged soon; want one for what was before", syncs)
			}
			stop()
			must(t, spool.Close())
		})
	})
	t.Run("IsKeptAMinuteLaterAtMostOnce", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			disk := newMemDisk()
			spool, stop := start(t, small(disk))
			for tag := range uint64(100) {
				add(t, spool, outbox.D1, tag, 10)
			}
			time.Sleep(outbox.Settle)
			synctest.Wait()
			before := spool.Status().Counts
			for seq := range uint64(50) {
				time.Sleep(time.Second)
				spool.Ack(here(spool, seq+1))
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if syncs := spool.Status().Counts.FlashSyncs - before.FlashSyncs; syncs != 1 {
				t.Errorf("%d syncs for 50 acknowledgements in a minute, want 1", syncs)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if syncs := spool.Status().Counts.FlashSyncs - before.FlashSyncs; syncs != 1 {
				t.Errorf("%d syncs in the hour after, want no more", syncs-1)
			}
			stop()
			disk.unlock() // the process is killed
			spool = open(t, small(disk))
			if got := all(t, spool, 100); got[0].Seq != 51 || len(got) != 50 {
				t.Errorf("%d entries from %d, want 50 from 51", len(got), got[0].Seq)
			}
			must(t, spool.Close())
		})
	})
}

func TestSpool_Full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemDisk()
		spool, stop := start(t, small(disk))
		const records = 5000
		for tag := range uint64(records) {
			add(t, spool, outbox.D1, tag, 2000)
			synctest.Wait()
		}
		entries := all(t, spool, 100)
		gap := entries[0].Gap
		if gap == nil || gap.Why != outbox.WhyFull || gap.From != 1 || gap.Count != gap.To || gap.Count != spool.Status().Counts.LostFull {
			t.Fatalf("the stream begins with %+v, want a gap of all that went", gap)
		}
		wantContent(t, entries[1:], gap.To+1, records)
		wantWarnings(t, spool, "spool-full")
		stop()
		disk.unlock()

		spool = open(t, small(disk))
		entries = all(t, spool, 100)
		if got := *entries[0].Gap; got != *gap {
			t.Errorf("after a kill the stream begins with %+v, want %+v", got, *gap)
		}
		wantWarnings(t, spool, "spool-full")
		spool.Ack(here(spool, gap.To))
		wantWarnings(t, spool)
		must(t, spool.Close())
	})
}

// wantContent: each number once, in order, with what was appended under it.
func wantContent(tb testing.TB, entries []outbox.Entry, from, to uint64) {
	tb.Helper()
	for _, e := range entries {
		if e.Seq != from || e.Gap != nil || !bytes.Equal(e.Body, record(0, from-1, len(e.Body)).Body) {
			tb.Fatalf("entry %d (%v) is not what was appended as %d", e.Seq, e.Gap, from)
		}
		from++
	}
	if from <= to {
		tb.Errorf("the stream ends before %d, want %d", from, to)
	}
}

func TestSpool_Reopen(t *testing.T) {
	t.Run("LargestRecords", func(t *testing.T) {
		disk := newMemDisk()
		o := small(disk)
		o.Boot = strings.Repeat("b", 63)
		spool := open(t, o)
		r := record(outbox.D1, 1, outbox.MaxBody)
		r.Kind, r.Quality = strings.Repeat("k", 63), strings.Repeat("q", outbox.MaxQuality)
		for range 5 { // a batch holds one of them
			_, err := spool.Append(r)
			must(t, err)
		}
		must(t, spool.Close())
		spool = open(t, o)
		wantStory(t, spool, "1 2 3 4 5")
		for _, e := range all(t, spool, 2) {
			if !bytes.Equal(e.Body, r.Body) || e.Kind != r.Kind || e.Quality != r.Quality || e.Boot != o.Boot {
				t.Errorf("entry %d is not what was appended", e.Seq)
			}
		}
		must(t, spool.Close())
	})
	t.Run("LargestReplyFits", func(t *testing.T) {
		body, err := edge.CanonicalJSON(edge.Reply{
			Command: strings.Repeat("c", 63), Issuer: strings.Repeat("i", 128), Counter: 1<<53 - 1, Verb: edge.VerbDiagnose, Stage: edge.StageSucceeded,
			Result: []byte(`{"x":"` + strings.Repeat("y", edge.MaxResult-8) + `"}`),
		})
		must(t, err)
		spool := open(t, small(newMemDisk()))
		if _, err := spool.Append(outbox.Record{Class: outbox.D0, Kind: "reply", Body: body}); err != nil {
			t.Errorf("Append of %d bytes = %v, want nil", len(body), err)
		}
		must(t, spool.Close())
	})
	t.Run("CleanWastesNoNumbers", func(t *testing.T) {
		disk := newMemDisk()
		spool := open(t, small(disk))
		epoch := spool.Status().Epoch
		full := outbox.Record{Class: outbox.D1, Mono: 90 * time.Second, Time: time.Date(2026, 11, 21, 6, 0, 0, 5e6, time.UTC), Quality: "signed", Kind: "warning", Body: []byte("{}")}
		_, err := spool.Append(full)
		must(t, err)
		must(t, spool.Close())
		o := small(disk)
		o.Boot = "boot-2"
		spool = open(t, o)
		add(t, spool, outbox.D1, 1, 10)
		entries := all(t, spool, 10)
		if got, want := fmt.Sprintf("%+v", entries[0]), fmt.Sprintf("%+v", outbox.Entry{Seq: 1, Boot: "boot-1", Record: full}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := entries[1]; got.Seq != 2 || got.Boot != "boot-2" || spool.Status().Epoch != epoch {
			t.Errorf("got %d of %s in epoch %s, want 2 of boot-2 in %s", got.Seq, got.Boot, spool.Status().Epoch, epoch)
		}
		must(t, spool.Close())
	})
	t.Run("KillLosesMemoryAndSaysSo", func(t *testing.T) {
		disk := newMemDisk()
		spool := open(t, small(disk))
		add(t, spool, outbox.D1, 1, 10)
		disk.unlock()
		spool = open(t, small(disk))
		add(t, spool, outbox.D1, 2, 10)
		wantStory(t, spool, "[1-100000000 0 memory] 100000001")
		must(t, spool.Close())
	})
	t.Run("EpochIsDrawnAnew", func(t *testing.T) {
		a, b := open(t, small(newMemDisk())), open(t, small(newMemDisk()))
		if a.Status().Epoch == b.Status().Epoch || len(a.Status().Epoch) != 16 {
			t.Errorf("epochs %s and %s", a.Status().Epoch, b.Status().Epoch)
		}
		must(t, errors.Join(a.Close(), b.Close()))
	})
	t.Run("HeldByAnother", func(t *testing.T) {
		disk := newMemDisk()
		first := open(t, small(disk))
		second, err := outbox.NewSpool(small(disk))
		must(t, err)
		if err := second.Open(t.Context()); !errors.Is(err, edge.ErrLocked) || edge.HintOf(err) == "" {
			t.Errorf("Open = %v, want %v with a hint", err, edge.ErrLocked)
		}
		must(t, errors.Join(first.Close(), second.Close()))
	})
	t.Run("OnRealFiles", func(t *testing.T) {
		o := outbox.SpoolOptions{Dir: filepath.Join(t.TempDir(), "a", "spool"), Boot: "boot-1"}
		spool := open(t, o)
		for tag := range uint64(300) {
			add(t, spool, outbox.D1, tag, 3000)
		}
		second, err := outbox.NewSpool(o)
		must(t, err)
		if err := second.Open(t.Context()); !errors.Is(err, edge.ErrLocked) || !errors.Is(unix.EWOULDBLOCK, unix.EAGAIN) {
			t.Errorf("Open of a held folder = %v, want %v", err, edge.ErrLocked)
		}
		must(t, spool.Close())
		spool = open(t, o)
		wantContent(t, all(t, spool, 32), 1, 300)
		must(t, spool.Close())
	})
}
