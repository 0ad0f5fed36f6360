// Package flash writes images of gateways onto disks, cards and files, puts files into
// their boot partition, and reads everything back.
//
// It owns what may be written to (Machine, Target), what an image is (Image), the
// partition table as far as it has to grow (GPT), and files on a FAT32 partition
// (Volume).
//
// # Promises
//
// Nothing is written before the whole image was read, decoded and held against its
// digest, and every file that goes in was found to fit. A device that is mounted, swapped
// to, held by another, or read-only is refused, and so is one whose disk the running
// system stands on. What is open for writing is examined again, and has to be what was
// examined before the image was read. The first piece of a target, with the partition
// table, is written when all others were read back and are right, and cleared where it is
// not itself: what was interrupted or is wrong does not start, and the error says so.
//
// What is called verified was read back past the page cache, or after it was dropped,
// and compared piece by piece with digests that were made in memory.
//
// # Concurrency
//
// One goroutine writes a target; the kernel keeps others away from a device that is open.
//
// # Failure
//
// Refusals are edge.ErrInvalid with a hint. An error after the first write is ErrUnusable
// too. A damaged file system is an error, never a panic.
//
// # Testing
//
// Loop devices where the kernel has them, trees of /sys by hand for the refusals, and
// mtools and fsck.vfat as judges of what the FAT32 writer leaves; damaged file systems
// by the fuzzer.
package flash
