package policycache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// rung is how far down the ladder an opening had to go.
type rung string

// The rungs.
const (
	rungIntact   = rung("intact")    // the file was good
	rungOlder    = rung("older")     // its last commit was dropped
	rungAbsent   = rung("absent")    // there was no file
	rungLost     = rung("lost")      // it was beyond help and lies in quarantine
	rungNewer    = rung("newer")     // a newer version wrote it: hands off
	rungReadOnly = rung("read-only") // it can be read and not written
	rungFailed   = rung("failed")    // the disk does not let us
)

// footing is what a climb arrived at.
type footing struct {
	rung    rung
	db      *database // on intact, older
	records records   // on intact, older, read-only
	why     error     // on all but intact and absent
}

const (
	databaseName   = "state.db"
	quarantineName = "state.db.damaged" // the latest damaged one, for whoever wants to look
)

func (s *Store) path(name string) string { return filepath.Join(s.options.Dir, name) }

// climb opens the database on the highest rung that holds:
//
//	check in a child ── good ──▶ open
//	   │ damaged
//	   ▼
//	a copy without the newest meta page ── good ──▶ put in place, open
//	   │ damaged
//	   ▼
//	quarantine; whoever called builds a new one
//
// The only error is errHeld: another process has the file.
func (s *Store) climb(ctx context.Context, writable bool) (footing, error) {
	path := s.path(databaseName)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return footing{rung: rungAbsent}, nil
	}
	err := s.check(ctx, path)
	if err == nil {
		var at footing
		if at, err = s.open(writable); err == nil {
			return at, nil
		}
	}
	switch {
	case errors.Is(err, errHeld):
		return footing{}, err
	case errors.Is(err, errNewer):
		return footing{rung: rungNewer, why: err}, nil
	case errors.Is(err, errUnchecked) || !writable:
		return footing{rung: rungFailed, why: err}, nil
	case !errors.Is(err, errDamaged) && !errors.Is(err, errFault):
		return footing{rung: rungFailed, why: err}, nil
	}
	return s.climbDown(ctx, err)
}

// open opens a file that passed its check.
func (s *Store) open(writable bool) (footing, error) {
	at := footing{rung: rungIntact}
	path := s.path(databaseName)
	db, err := openDatabase(s.options.Disk, path, !writable, lockLimit)
	if writable && isReadOnly(err) {
		at.why = err
		db, err = openDatabase(s.options.Disk, path, true, lockLimit)
		writable = false
	}
	if err != nil {
		return footing{}, err
	}
	at.db = db
	at.records, err = db.read()
	if err != nil {
		return footing{}, errors.Join(err, db.close())
	}
	if !writable {
		at.rung, at.db = rungReadOnly, nil
		return at, db.close()
	}
	return at, nil
}

func isReadOnly(err error) bool {
	return errors.Is(err, unix.EROFS) || errors.Is(err, os.ErrPermission)
}

// climbDown helps a damaged file.
func (s *Store) climbDown(ctx context.Context, why error) (footing, error) {
	path, older := s.path(databaseName), s.path(databaseName+".older")
	made, err := s.copyOlder(ctx, path, older)
	if errors.Is(err, errUnchecked) {
		return footing{rung: rungFailed, why: err}, nil
	}
	if err := s.options.Disk.Rename(path, s.path(quarantineName)); err != nil {
		return footing{rung: rungFailed, why: errors.Join(why, err)}, nil
	}
	if made {
		db, err := installDatabase(s.options.Disk, older, path)
		if err == nil {
			var r records
			if r, err = db.read(); err == nil {
				return footing{rung: rungOlder, db: db, records: r, why: why}, nil
			}
			err = errors.Join(err, db.close())
		}
		why = errors.Join(why, err)
	}
	return footing{rung: rungLost, why: why}, nil
}

// copyOlder writes a copy of the file as it was one commit ago, and checks it.
func (s *Store) copyOlder(ctx context.Context, path, older string) (bool, error) {
	content, err := readBounded(path, maxDatabase)
	if err != nil || !dropNewestMeta(content) {
		return false, nil //nolint:nilerr // nothing to fall back to, which is an answer
	}
	if err := writeFile(s.options.Disk, older, content); err != nil {
		return false, errors.Join(err, ignoreAbsent(s.options.Disk.Remove(older)))
	}
	if err := s.check(ctx, older); err != nil {
		return false, errors.Join(err, ignoreAbsent(s.options.Disk.Remove(older)))
	}
	return true, nil
}

// installDatabase puts a whole file in place and opens it.
func installDatabase(disk Disk, from, path string) (*database, error) {
	if err := disk.Rename(from, path); err != nil {
		return nil, err
	}
	if err := disk.SyncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return openDatabase(disk, path, false, lockLimit)
}

// Where bbolt keeps what in a page with a meta, all in the processor's byte order:
// a header of 16 bytes, magic, version, page size, flags (4 each), root bucket (16),
// freelist, high-water mark, transaction id, and the FNV-1a of all from magic on.
const (
	metaStart  = 16
	metaTxID   = 64
	metaSum    = 72
	metaEnd    = 80
	metaMagic  = 0xED0CDAED
	metaLayout = 2
)

// dropNewestMeta makes the newer of two good meta pages invalid, which takes the
// file one commit back. It tells whether there were two.
func dropNewestMeta(content []byte) bool {
	size := os.Getpagesize()
	if !isMeta(content) || len(content) < size+metaEnd || !isMeta(content[size:]) {
		return false
	}
	newest := content
	if other := content[size:]; metaTx(other) > metaTx(newest) {
		newest = other
	}
	clear(newest[metaStart:metaEnd])
	return true
}

func metaTx(page []byte) uint64 { return binary.NativeEndian.Uint64(page[metaTxID:]) }

func isMeta(page []byte) bool {
	if len(page) < metaEnd {
		return false
	}
	sum := fnv.New64a()
	sum.Write(page[metaStart:metaSum]) // a hash does not fail
	return binary.NativeEndian.Uint32(page[metaStart:]) == metaMagic &&
		binary.NativeEndian.Uint32(page[metaStart+4:]) == metaLayout &&
		binary.NativeEndian.Uint64(page[metaSum:]) == sum.Sum64()
}

// rebuild makes a new database of what is in memory.
func (s *Store) rebuild(st state) (*database, records, error) {
	r, err := st.encode()
	if err != nil {
		return nil, nil, err
	}
	db, err := buildDatabase(s.options.Disk, s.path(databaseName), r)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot build database: %w", err)
	}
	return db, r, nil
}
