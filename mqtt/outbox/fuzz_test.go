package outbox_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"holdfast/mqtt/outbox"
)

// segmentOf returns the first pages of a segment with some records in it.
func segmentOf(tb testing.TB, size, records int) []byte {
	tb.Helper()
	disk := newMemDisk()
	spool := open(tb, small(disk))
	for tag := range uint64(records) {
		add(tb, spool, outbox.D1, tag, size)
	}
	must(tb, spool.Close())
	content := make([]byte, 64<<10)
	disk.files["000.segment"].read(0, content)
	return content
}

// FuzzSpool_Open: whatever the segments hold, the spool opens, what it tells is in
// order and bounded, and it goes on.
func FuzzSpool_Open(f *testing.F) {
	whole := segmentOf(f, 300, 10)
	f.Add(whole[:12<<10], []byte{}, uint16(0), false)
	f.Add(whole[:8<<10], whole[:12<<10], uint16(60), true)
	f.Add(whole[4096:12<<10], whole[:4096], uint16(5000), true)
	f.Add([]byte("hfspool1"), []byte{1}, uint16(1), true)
	f.Fuzz(func(t *testing.T, first, second []byte, flip uint16, seal bool) {
		disk := newMemDisk()
		for name, content := range map[string][]byte{"000.segment": first, "001.segment": second} {
			content = append([]byte{}, content[:min(len(content), 1<<20)]...)
			if int(flip) < len(content) {
				content[flip] ^= 0x40
			}
			if seal {
				reseal(content)
			}
			file := newImage()
			file.write(0, make([]byte, 1<<20))
			file.write(0, content)
			disk.files[name] = file
		}
		spool := open(t, small(disk))
		at := spool.Status().Acked
		for entries := 0; ; {
			batch, err := spool.Read(here(spool, at), 100)
			must(t, err)
			if len(batch.Entries) == 0 {
				break
			}
			for _, e := range batch.Entries {
				if e.Seq <= at || len(e.Body) > outbox.MaxBody {
					t.Fatalf("behind %d follows %d of %d bytes", at, e.Seq, len(e.Body))
				}
				at = e.Seq
			}
			if entries += len(batch.Entries); entries > 4<<20 {
				t.Fatal("the stream does not end")
			}
		}
		_ = spool.Close()
	})
}

// reseal makes the sums right in whatever looks like a batch, so that what lies
// behind them is reached.
func reseal(content []byte) {
	table := crc32.MakeTable(crc32.Castagnoli)
	for at := 0; at+86 <= len(content); at += 4096 {
		b := content[at:]
		size := int(binary.LittleEndian.Uint16(b[12:]))
		if !bytes.HasPrefix(b, []byte("hfspool1")) || size < 86 || size > len(b) {
			continue
		}
		binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b[12:size], table))
		seed := crc32.Checksum(slices.Concat(b[20:36], b[68:76]), table)
		for rest := b[size:]; ; {
			length, n := binary.Uvarint(rest)
			if n <= 0 || len(rest) < n+4 || uint64(len(rest)-n-4) < length || length == 0 {
				break
			}
			payload := rest[n+4 : n+4+int(length)]
			binary.LittleEndian.PutUint32(rest[n:], crc32.Update(seed, table, payload))
			rest = rest[n+4+int(length):]
		}
	}
}

// TestSpool_Damage flips every bit of a byte in each part of a segment: what is told
// stays in order, and is what was appended.
func TestSpool_Damage(t *testing.T) {
	disk := newMemDisk()
	const records = 600
	for life := range uint64(3) { // three batches and their reservations at least
		spool := open(t, small(disk))
		for tag := life * records / 3; tag < (life+1)*records/3; tag++ {
			add(t, spool, outbox.D1, tag, 700)
		}
		must(t, spool.Close())
	}
	used := disk.files["000.segment"].clone()
	lost, gaps := 0, 0
	for at := 1; at < len(used.pages)*imagePage; at += 1531 {
		damaged := used.clone()
		page := [1]byte{}
		damaged.read(at, page[:])
		damaged.write(at, []byte{page[0] ^ 0xff})
		spool := open(t, small(&memDisk{files: map[string]*image{"000.segment": damaged, "001.segment": disk.files["001.segment"].clone()}}))
		add(t, spool, outbox.D1, 1, 10)
		before := spool.Status().Acked
		found := 0
		for _, e := range all(t, spool, 50) {
			if e.Gap != nil {
				gaps++
				before = e.Gap.To
				continue
			}
			if e.Seq != before+1 {
				t.Fatalf("byte %d: behind %d follows %d", at, before, e.Seq)
			}
			before = e.Seq
			if e.Seq <= records {
				wantContent(t, []outbox.Entry{e}, e.Seq, e.Seq)
				found++
			}
		}
		if found < records-100 {
			t.Errorf("byte %d: %d of %d records are left", at, found, records)
		}
		if found < records {
			lost++
		}
		must(t, spool.Close())
	}
	if lost == 0 || gaps < lost {
		t.Errorf("%d damages cost something, %d gaps told: the test is blind", lost, gaps)
	}
}
