package flash

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"holdfast/edge"
)

// sectorSize is what images are made for. A device with another one would look for the
// partition table elsewhere.
const sectorSize = 512

const (
	gptSignature = "EFI PART"
	// entriesBytes is the table of partitions as every tool makes it: 128 entries of 128
	// bytes. With the header before it, it takes 33 sectors.
	entriesBytes  = 128 * 128
	backupSectors = entriesBytes/sectorSize + 1
	headerBytes   = 92
)

// espType is the type of the EFI system partition, C12A7328-F81F-11D2-BA4B-00A0C93EC93B.
var espType = []byte{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}

var errNoTable = errors.New("there is no GPT")

// GPT is a partition table: the header, and the entries behind it.
type GPT struct {
	header  []byte // one sector
	entries []byte
}

// Partition is a stretch of a disk, in bytes.
type Partition struct{ Start, Size int64 }

// ReadGPT reads the table at the beginning of a disk.
func ReadGPT(disk io.ReaderAt) (*GPT, error) {
	t := &GPT{header: make([]byte, sectorSize), entries: make([]byte, entriesBytes)}
	if _, err := disk.ReadAt(t.header, sectorSize); err != nil {
		return nil, fmt.Errorf("cannot read partition table: %w", err)
	}
	if !bytes.HasPrefix(t.header, []byte(gptSignature)) {
		return nil, errNoTable
	}
	if _, err := disk.ReadAt(t.entries, t.at(72)*sectorSize); err != nil || t.at(72) != 2 {
		return nil, fmt.Errorf("cannot read partition table: its entries are not behind its header: %w", edge.ErrInvalid)
	}
	if binary.LittleEndian.Uint32(t.header[80:])*binary.LittleEndian.Uint32(t.header[84:]) != entriesBytes {
		return nil, fmt.Errorf("cannot read partition table: it does not have 128 entries of 128 bytes: %w", edge.ErrInvalid)
	}
	if !bytes.Equal(t.header, sealed(t.header, t.entries)) {
		return nil, fmt.Errorf("cannot read partition table: its checksums do not fit: %w", edge.ErrInvalid)
	}
	return t, nil
}

func (t *GPT) at(offset int) int64 { return int64(binary.LittleEndian.Uint64(t.header[offset:])) }

// sealed is a header with the checksums of itself and of the entries.
func sealed(header, entries []byte) []byte {
	h := bytes.Clone(header)
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
	binary.LittleEndian.PutUint32(h[16:], 0)
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:headerBytes]))
	return h
}

// Backup is where the second copy of the table is said to stand.
func (t *GPT) Backup() int64 { return t.at(32) * sectorSize }

// Boot is the EFI system partition; false where there is none.
func (t *GPT) Boot() (Partition, bool) {
	for entry := t.entries; len(entry) > 0; entry = entry[128:] {
		first, last := int64(binary.LittleEndian.Uint64(entry[32:])), int64(binary.LittleEndian.Uint64(entry[40:]))
		const farthest = 1 << 50 / sectorSize // keeps sums of damaged tables within bounds
		if bytes.Equal(entry[:16], espType) && first > 2 && first <= last && last < farthest {
			return Partition{first * sectorSize, (last - first + 1) * sectorSize}, true
		}
	}
	return Partition{}, false
}

// Grow tells the table that the disk has so many bytes, and moves its second copy to the
// end. Between there and the last partition is room for that one to grow.
func (t *GPT) Grow(disk Disk, size int64) error {
	old, last := t.at(32), size/sectorSize-1
	if last <= old {
		return nil
	}
	if err := zero(disk, (old-backupSectors+1)*sectorSize, backupSectors*sectorSize); err != nil {
		return err
	}
	put := func(h []byte, offset int, v int64) { binary.LittleEndian.PutUint64(h[offset:], uint64(v)) }
	put(t.header, 32, last)
	put(t.header, 48, last-backupSectors) // the last sector that partitions may have
	t.header = sealed(t.header, t.entries)
	second := bytes.Clone(t.header)
	put(second, 24, last)
	put(second, 32, 1)
	put(second, 72, last-backupSectors+1)
	second = sealed(second, t.entries)
	for _, part := range []struct {
		content []byte
		sector  int64
	}{{t.header, 1}, {t.entries, last - backupSectors + 1}, {second, last}} {
		if _, err := disk.WriteAt(part.content, part.sector*sectorSize); err != nil {
			return fmt.Errorf("cannot write partition table: %w", err)
		}
	}
	return protect(disk, last)
}

// protect has the record that older tools read cover the whole disk.
func protect(disk Disk, last int64) error {
	record := make([]byte, sectorSize)
	if _, err := disk.ReadAt(record, 0); err != nil {
		return fmt.Errorf("cannot read boot record: %w", err)
	}
	const first, protective = 446, 0xee
	if record[first+4] != protective {
		return nil // a table of another kind beside it: left as the image has it
	}
	binary.LittleEndian.PutUint32(record[first+12:], uint32(min(last, 1<<32-1)))
	if _, err := disk.WriteAt(record, 0); err != nil {
		return fmt.Errorf("cannot write boot record: %w", err)
	}
	return nil
}

func zero(disk Disk, from, count int64) error {
	if _, err := disk.WriteAt(make([]byte, count), from); err != nil {
		return fmt.Errorf("cannot write zeros: %w", err)
	}
	return nil
}
