package flash

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"holdfast/edge"
)

// Disk is what a file system stands on.
type Disk interface {
	io.ReaderAt
	io.WriterAt
}

// Volume is a FAT32 file system, as Microsoft's "FAT: General Overview of On-Disk Format"
// (version 1.03) describes it: as much of it as putting files in takes.
type Volume struct {
	disk  Disk
	start int64 // of the partition
	now   time.Time

	sector  int64 // bytes
	cluster int64 // bytes
	tables  []int64
	info    int64 // sector of the count of free clusters; 0: none
	data    int64 // where cluster 2 stands
	root    uint32
	table   []uint32 // what follows each cluster
	changed map[int64]bool
	next    uint32 // where to look for a free cluster
}

const (
	chainEnd  = 0x0fffffff
	chainMask = 0x0fffffff
	// lastLink is the largest value that names a cluster.
	lastLink = 0x0ffffff6
	// maxClusters bounds the memory that a table takes: 16 MiB, for 128 GiB of usual clusters.
	maxClusters = 4 << 20
	// reserved entries begin the table.
	reserved = 2
)

var errDamaged = fmt.Errorf("the file system is damaged: %w", edge.ErrInvalid)

// OpenVolume reads the tables of a FAT32 file system.
func OpenVolume(disk Disk, at Partition, now time.Time) (*Volume, error) {
	v := &Volume{disk: disk, start: at.Start, now: now, changed: map[int64]bool{}, next: reserved}
	boot := make([]byte, sectorSize)
	if err := v.read(boot, 0); err != nil {
		return nil, err
	}
	count, size, err := v.geometry(boot, at.Size)
	if err != nil {
		return nil, fmt.Errorf("cannot read boot partition: %w", err)
	}
	raw := make([]byte, (count+reserved)*4)
	if err := v.read(raw, v.tables[0]); err != nil {
		return nil, err
	}
	v.table = make([]uint32, count+reserved)
	for i := range v.table {
		v.table[i] = binary.LittleEndian.Uint32(raw[4*i:])
	}
	for i := range v.tables {
		v.tables[i] = v.tables[0] + int64(i)*size
	}
	return v, nil
}

// geometry reads the first sector: how many clusters there are, and how large a table is.
func (v *Volume) geometry(boot []byte, room int64) (clusters, tableSize int64, err error) {
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(boot[at:])) }
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(boot[at:])) }
	v.sector = u16(11)
	perCluster, count := int64(boot[13]), int64(boot[16])
	v.cluster = v.sector * perCluster
	tableSize = u32(36) * v.sector
	total := cmp.Or(u16(19), u32(32)) * v.sector // small ones stand in the older field
	switch {
	case boot[510] != 0x55 || boot[511] != 0xaa || v.sector < 512 || v.sector > 4096 || v.sector&(v.sector-1) != 0:
		return 0, 0, fmt.Errorf("it holds no FAT file system: %w", edge.ErrInvalid)
	case u16(22) != 0 || u16(17) != 0 || u32(36) == 0:
		return 0, 0, fmt.Errorf("it is FAT, but not FAT32: %w", edge.ErrInvalid)
	case perCluster == 0 || perCluster&(perCluster-1) != 0 || count < 1 || count > 2 || u16(14) == 0 || total > room || u16(40)&0x80 != 0:
		return 0, 0, errDamaged
	}
	v.tables = make([]int64, count)
	v.tables[0] = u16(14) * v.sector
	v.data = v.tables[0] + count*tableSize
	clusters = min((total-v.data)/v.cluster, lastLink-reserved)
	v.root, v.info = uint32(u32(44)), u16(48)
	if v.info == 0xffff || v.info >= u16(14) {
		v.info = 0
	}
	if total <= v.data || clusters < 1 || clusters > maxClusters || (clusters+reserved)*4 > tableSize || !v.isCluster(v.root, clusters) {
		return 0, 0, errDamaged
	}
	return clusters, tableSize, nil
}

func (v *Volume) isCluster(c uint32, clusters int64) bool {
	return c >= reserved && int64(c) < clusters+reserved
}

func (v *Volume) read(p []byte, at int64) error {
	if _, err := v.disk.ReadAt(p, v.start+at); err != nil {
		return fmt.Errorf("cannot read boot partition: %w", err)
	}
	return nil
}

func (v *Volume) write(p []byte, at int64) error {
	if _, err := v.disk.WriteAt(p, v.start+at); err != nil {
		return fmt.Errorf("cannot write boot partition: %w", err)
	}
	return nil
}

func (v *Volume) place(cluster uint32) int64 { return v.data + int64(cluster-reserved)*v.cluster }

// chain lists the clusters from a first one on.
func (v *Volume) chain(first uint32) (all []uint32, err error) {
	for at := first; ; {
		if !v.isCluster(at, int64(len(v.table)-reserved)) || len(all) >= len(v.table) {
			return nil, errDamaged
		}
		all = append(all, at)
		next := v.table[at] & chainMask
		if next > lastLink {
			return all, nil
		}
		at = next
	}
}

func (v *Volume) link(cluster, to uint32) {
	v.table[cluster] = v.table[cluster]&^chainMask | to
	v.changed[int64(cluster)*4/v.sector] = true
}

// free gives a chain back.
func (v *Volume) free(chain []uint32) {
	for _, cluster := range chain {
		v.link(cluster, 0)
	}
}

// take finds free clusters and makes a chain of them.
func (v *Volume) take(count int64) (chain []uint32, err error) {
	for range len(v.table) {
		if int64(len(chain)) == count {
			break
		}
		if v.next >= uint32(len(v.table)) {
			v.next = reserved
		}
		if v.table[v.next]&chainMask == 0 {
			chain = append(chain, v.next)
			v.link(v.next, chainEnd)
			if n := len(chain); n > 1 {
				v.link(chain[n-2], v.next)
			}
		}
		v.next++
	}
	if int64(len(chain)) < count {
		v.free(chain)
		return nil, fmt.Errorf("cannot find room on the boot partition: %w", edge.ErrNoRoom)
	}
	return chain, nil
}

// Free is the room that is left, in bytes.
func (v *Volume) Free() (bytes int64) {
	for _, next := range v.table[reserved:] {
		if next&chainMask == 0 {
			bytes += v.cluster
		}
	}
	return bytes
}

// Takes is how much room a file of so many bytes takes, with what its name may.
func (v *Volume) Takes(size int64) int64 {
	return (size+v.cluster-1)/v.cluster*v.cluster + v.cluster
}

// Flush writes the tables.
func (v *Volume) Flush() error {
	perSector := v.sector / 4
	buffer := make([]byte, v.sector)
	for number := range v.changed {
		// The end of the last sector is behind the last cluster.
		for i := range perSector {
			entry := uint32(0)
			if at := number*perSector + i; at < int64(len(v.table)) {
				entry = v.table[at]
			}
			binary.LittleEndian.PutUint32(buffer[4*i:], entry)
		}
		for _, table := range v.tables {
			if err := v.write(buffer, table+number*v.sector); err != nil {
				return err
			}
		}
	}
	v.changed = map[int64]bool{}
	return v.flushInfo()
}

// flushInfo writes the count of free clusters, which systems show without counting.
func (v *Volume) flushInfo() error {
	if v.info == 0 {
		return nil
	}
	info := make([]byte, sectorSize)
	if err := v.read(info, v.info*v.sector); err != nil {
		return err
	}
	if string(info[:4]) != "RRaA" || string(info[484:488]) != "rrAa" {
		return nil // none, after all
	}
	binary.LittleEndian.PutUint32(info[488:], uint32(v.Free()/v.cluster))
	binary.LittleEndian.PutUint32(info[492:], v.next)
	return v.write(info, v.info*v.sector)
}
