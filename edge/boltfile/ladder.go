package boltfile

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// Rung is how far down the ladder an opening had to go.
type Rung string

// The rungs.
const (
	Intact   Rung = "intact"    // the file was good
	Older    Rung = "older"     // its last commit was dropped; the damaged file lies in quarantine
	Absent   Rung = "absent"    // there was no file
	Lost     Rung = "lost"      // it was beyond help and lies in quarantine
	Newer    Rung = "newer"     // a newer program wrote it: hands off
	ReadOnly Rung = "read-only" // it can be read and not written
	Failed   Rung = "failed"    // the disk, or the check, does not let us
)

// Quarantine is what a file's name is followed by once it was found damaged. The latest
// one is kept for whoever wants to look.
const Quarantine = ".damaged"

// Found is what an opening came upon.
type Found struct {
	Rung    Rung
	Records Records // on Intact, Older and ReadOnly
	Why     error   // on Older, Lost, Newer and Failed; on ReadOnly unless it was asked for
}

// Gone tells whether there is nothing to go on from: the owner builds a file anew.
func (f Found) Gone() bool { return f.Rung == Absent || f.Rung == Lost }

// footing is what a climb arrived at.
type footing struct {
	Found
	db    *database // on Intact and Older
	whole Records
}

// climb opens the file on the highest rung that holds:
//
//	check in a child ── good ──▶ open
//	   │ damaged
//	   ▼
//	a copy without the newest meta page ── good ──▶ put in place, open
//	   │ damaged
//	   ▼
//	quarantine; the owner builds a new one
//
// The only error is edge.ErrLocked: another process has the file.
func (f *File) climb(ctx context.Context, writable bool) (footing, error) {
	path := f.options.Path
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return footing{Found: Found{Rung: Absent}}, nil
	}
	err := f.check(ctx, path)
	if err == nil {
		var at footing
		if at, err = f.take(writable); err == nil {
			return at, nil
		}
	}
	switch {
	case errors.Is(err, edge.ErrLocked):
		return footing{}, err
	case errors.Is(err, ErrNewer):
		return footing{Found: Found{Rung: Newer, Why: err}}, nil
	case !isDamage(err) || !writable:
		return failed(err), nil
	}
	return f.climbDown(ctx, err), nil
}

// isDamage tells the errors that are the file's from those that are not.
func isDamage(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, errFault) }

func failed(why error) footing { return footing{Found: Found{Rung: Failed, Why: why}} }

// take opens a file that passed its check.
func (f *File) take(writable bool) (footing, error) {
	var why error
	open := func(readOnly bool) (*database, error) {
		return openDatabase(f.options.Disk, f.options.Path, f.options.Layout.MaxBytes, readOnly)
	}
	db, err := open(!writable)
	if writable && isReadOnly(err) {
		why, writable = err, false
		db, err = open(true)
	}
	if err != nil {
		return footing{}, err
	}
	at, err := f.stand(db, Intact, why)
	if err != nil || writable {
		return at, err
	}
	return footing{Found: Found{ReadOnly, at.Records, why}}, db.close()
}

// stand reads what an open file has. When it cannot be read it is closed.
func (f *File) stand(db *database, rung Rung, why error) (footing, error) {
	whole, r, err := f.options.Layout.of(db)
	if err != nil {
		return footing{}, errors.Join(err, db.end(err))
	}
	return footing{Found: Found{rung, r, why}, db: db, whole: whole}, nil
}

func isReadOnly(err error) bool {
	return errors.Is(err, unix.EROFS) || errors.Is(err, os.ErrPermission)
}

// climbDown helps a damaged file. As long as something else than the damage is in the
// way, a full disk or a check that cannot be made, nothing is given up.
func (f *File) climbDown(ctx context.Context, why error) footing {
	at, err := f.stepBack(ctx, why)
	switch {
	case err == nil:
		return at
	case errors.Is(err, ErrNewer):
		return footing{Found: Found{Rung: Newer, Why: err}}
	case !isDamage(err):
		return failed(errors.Join(why, err))
	}
	if err := f.options.Disk.Rename(f.options.Path, f.options.Path+Quarantine); err != nil {
		return failed(errors.Join(why, err))
	}
	return footing{Found: Found{Rung: Lost, Why: errors.Join(why, err)}}
}

// stepBack puts the file as it was one commit ago in the place of the damaged one, in
// one rename: whenever the power goes, one of the two is there.
func (f *File) stepBack(ctx context.Context, why error) (footing, error) {
	older := f.options.Path + ".older"
	if err := f.copyOlder(ctx, older); err != nil {
		return footing{}, err
	}
	f.quarantine()
	db, err := f.install(older)
	if err != nil {
		return footing{}, err
	}
	return f.stand(db, Older, why)
}

// quarantine gives the damaged file, which is about to be replaced, a second name. A
// file system that cannot do that is no reason to stay damaged.
func (f *File) quarantine() {
	disk, kept := f.options.Disk, f.options.Path+Quarantine
	err := ignoreAbsent(disk.Remove(kept))
	if err == nil {
		err = disk.Link(f.options.Path, kept)
	}
	if err != nil {
		f.options.Log.Warn("damaged database not kept", "path", f.options.Path, "error", err)
	}
}

// copyOlder writes a copy of the file as it was one commit ago, and checks it. It gives
// ErrDamaged when there is nothing to step back to.
func (f *File) copyOlder(ctx context.Context, older string) error {
	content, err := ReadBounded(f.options.Path, int64(f.options.Layout.MaxBytes))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !dropNewestMeta(content) {
		return fmt.Errorf("%w: it has no older commit", ErrDamaged)
	}
	disk := f.options.Disk
	// What lies there may be a pipe, which would wait for a reader.
	err = ignoreAbsent(disk.Remove(older))
	if err == nil {
		err = writeFile(disk, older, content)
	}
	if err == nil {
		err = f.check(ctx, older)
	}
	if err != nil {
		return errors.Join(err, ignoreAbsent(disk.Remove(older)))
	}
	return nil
}
