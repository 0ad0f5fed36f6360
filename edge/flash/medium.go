package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// medium is a target that is being written. It goes by pieces: what a piece is to hold is
// made in memory and known by its digest, and what is changed later is first held against
// it. The first piece is kept back until all others are there.
type medium struct {
	file *os.File
	size int64
	sums map[int64][sha256.Size]byte // of each piece that was written, by its number
	held map[int64][]byte            // pieces that are to be written
	hole bool                        // nothing stands on it yet: zeros need not be written

	// The piece that was read last: files are read cluster by cluster.
	recent       []byte
	recentNumber int64
}

// heldMost is how many pieces are changed in memory at a time: those of the tables, of a
// folder, and of a file that goes in.
const heldMost = 8

func newMedium(file *os.File, size int64, hole bool) *medium {
	return &medium{file: file, size: size, hole: hole, sums: map[int64][sha256.Size]byte{}, held: map[int64][]byte{}}
}

// stream takes a piece of the image as it comes.
func (m *medium) stream(content []byte, at int64) error {
	number := at / piece
	if whole := min(piece, m.size-at); int64(len(content)) < whole || number == 0 { // the image ends within the piece
		padded := make([]byte, whole)
		copy(padded, content)
		content = padded
	}
	if number == 0 {
		m.held[0] = content
		return nil
	}
	return m.put(number, content)
}

func (m *medium) put(number int64, content []byte) error {
	m.sums[number] = sha256.Sum256(content)
	if m.recentNumber == number {
		m.recent = nil
	}
	if m.hole && len(bytes.TrimLeft(content, "\x00")) == 0 {
		return nil
	}
	if _, err := m.file.WriteAt(content, number*piece); err != nil {
		return fmt.Errorf("cannot write to %q: %w", m.file.Name(), err)
	}
	return nil
}

// open is the start of the piece that holds a byte, and its content: what is to be written,
// or what stands there, if that is what was written.
func (m *medium) open(at int64) ([]byte, error) {
	number := at / piece
	if content, found := m.held[number]; found {
		return content, nil
	}
	if m.recent != nil && m.recentNumber == number {
		return m.recent, nil
	}
	content := make([]byte, min(piece, m.size-number*piece))
	if _, err := m.file.ReadAt(content, number*piece); err != nil {
		return nil, fmt.Errorf("cannot read from %q: %w", m.file.Name(), err)
	}
	if sum, written := m.sums[number]; written && sum != sha256.Sum256(content) {
		return nil, m.differs(number)
	}
	m.recent, m.recentNumber = content, number
	return content, nil
}

func (m *medium) differs(number int64) error {
	return edge.WithHint(fmt.Errorf("cannot verify %q: at %d MiB stands something else than was written: %w", m.file.Name(), number, edge.ErrInvalid),
		"the medium is broken or pretends a size that it does not have: take another one")
}

// ReadAt reads what will stand there.
func (m *medium) ReadAt(p []byte, at int64) (int, error) {
	done := 0
	for done < len(p) {
		if at < 0 || at >= m.size {
			return done, io.EOF
		}
		content, err := m.open(at)
		if err != nil {
			return done, err
		}
		n := copy(p[done:], content[at%piece:])
		if n == 0 {
			return done, io.EOF
		}
		done, at = done+n, at+int64(n)
	}
	return done, nil
}

// WriteAt changes what will stand there.
func (m *medium) WriteAt(p []byte, at int64) (int, error) {
	done := 0
	for done < len(p) {
		if at < 0 || at >= m.size {
			return done, io.ErrShortWrite
		}
		content, err := m.open(at)
		if err != nil {
			return done, err
		}
		if err := m.makeRoom(at / piece); err != nil {
			return done, err
		}
		m.held[at/piece] = content
		n := copy(content[at%piece:], p[done:])
		if n == 0 {
			return done, io.ErrShortWrite
		}
		done, at = done+n, at+int64(n)
	}
	return done, nil
}

// makeRoom writes what is held, the first piece excepted, if one more would be too many.
func (m *medium) makeRoom(number int64) error {
	if _, held := m.held[number]; held || len(m.held) < heldMost {
		return nil
	}
	return m.flush(false)
}

func (m *medium) flush(first bool) error {
	m.hole = false
	for number, content := range m.held {
		if number == 0 && !first {
			continue
		}
		if err := m.put(number, content); err != nil {
			return err
		}
		delete(m.held, number)
	}
	return nil
}

// drop takes what was written out of the kernel's memory, so that what is read next comes
// from the medium.
func (m *medium) drop(device bool) error {
	m.recent = nil
	if device {
		if err := unix.IoctlSetInt(int(m.file.Fd()), unix.BLKFLSBUF, 0); err != nil {
			return fmt.Errorf("cannot drop the cache of %q: %w", m.file.Name(), err)
		}
		return nil
	}
	if err := unix.Fadvise(int(m.file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("cannot drop the cache of %q: %w", m.file.Name(), err)
	}
	return nil
}

// verify reads every piece that was written, but the first or that alone, and compares. direct tells that the kernel's
// memory was passed by for all of them but a last one that is not whole.
func (m *medium) verify(ctx context.Context, first bool, progress Progress) (direct bool, err error) {
	// Memory of its own is aligned as reading past the kernel's memory demands.
	buffer, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return false, fmt.Errorf("cannot find memory: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Munmap(buffer)) }()
	past, err := os.OpenFile(m.file.Name(), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		past = m.file
	} else {
		defer past.Close()
	}
	if _, err := past.ReadAt(buffer, 0); err != nil {
		past = m.file
	}
	all, done := int64(len(m.sums)+len(m.held)), int64(0) // held is the first piece, or nothing
	if first {
		done = all - 1
	}
	for number := range (m.size + piece - 1) / piece {
		sum, written := m.sums[number]
		if !written || first != (number == 0) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("interrupted: %w", err)
		}
		part, from := buffer[:min(piece, m.size-number*piece)], past
		if len(part) < piece {
			from = m.file
		}
		if _, err := from.ReadAt(part, number*piece); err != nil {
			return false, fmt.Errorf("cannot read back from %q: %w", m.file.Name(), err)
		}
		if sha256.Sum256(part) != sum {
			return false, m.differs(number)
		}
		done++
		progress("reading back", done*piece, all*piece)
	}
	return past != m.file, nil
}
