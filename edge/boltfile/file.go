package boltfile

import (
	"context"
	"errors"
	"fmt"
)

// File is a file of records.
type File struct {
	options Options
	db      *database // nil: closed
	whole   Records   // as the file has them
	records Records   // as its owner knows them
	slow    int       // checks that came to no end since one ended well
}

// ErrLost says that the file was gone or beyond help when it was to be opened anew.
// Rebuild makes another.
var ErrLost = errors.New("the database is lost")

// errClosed says that there is nothing to commit to.
var errClosed = errors.New("the database is not open")

// Open opens the file on the highest rung that holds. It fails only when another
// process has the file: edge.ErrLocked, wrapped. On Intact and Older the file is open
// then, and on Absent and Lost it is for the owner to Rebuild.
func (f *File) Open(ctx context.Context) (Found, error) { return f.open(ctx, true) }

// Read is Open for whoever may not write: the file is neither changed nor kept open.
// What was found is ReadOnly, Absent, Newer or Failed.
func (f *File) Read(ctx context.Context) (Found, error) { return f.open(ctx, false) }

func (f *File) open(ctx context.Context, writable bool) (Found, error) {
	if f.db != nil {
		return Found{}, fmt.Errorf("cannot open database %q: it is open", f.options.Path)
	}
	at, err := f.climb(ctx, writable)
	if err != nil {
		return Found{}, fmt.Errorf("cannot open database %q: %w", f.options.Path, err)
	}
	f.db, f.whole, f.records = at.db, at.whole, at.Records
	return at.Found, nil
}

// IsOpen tells whether commits may reach the file.
func (f *File) IsOpen() bool { return f.db != nil }

// Records are those of the latest commit, or as they were found. They are shared.
func (f *File) Records() Records { return f.records }

// Commit makes the records of the file those of want, in one transaction, and returns
// nil when they are on the disk. What did not change is not written.
//
// When that fails nobody knows which records the file has, and Commit does what
// Restore does, once. What the ladder found then is for the owner's warnings; it is
// Intact when all went well at first.
func (f *File) Commit(ctx context.Context, want Records) (Found, error) {
	if f.db == nil {
		return Found{}, fmt.Errorf("cannot commit to %q: %w", f.options.Path, errClosed)
	}
	whole, err := f.options.Layout.sealed(want)
	if err != nil {
		return Found{}, err
	}
	list := f.whole.Changes(whole)
	if len(list) > 0 {
		err = f.write(want, whole, list)
	}
	if err == nil {
		return Found{Rung: Intact, Records: want}, nil
	}
	f.drop(err)
	found, again := f.Restore(ctx, want)
	if again != nil {
		return found, errors.Join(err, again)
	}
	return found, nil
}

// Restore opens a file anew that failed, and commits what its owner has in memory. With
// an error the file stays closed. The error is ErrLost when there is nothing to commit
// to: history is lost then, of which the owner may want to tell in what it gives to
// Rebuild.
//
// It commits even what the file seems to have: after a sync that failed that may be in
// the kernel's memory alone.
func (f *File) Restore(ctx context.Context, want Records) (Found, error) {
	whole, err := f.options.Layout.sealed(want)
	if err != nil {
		return Found{}, err
	}
	// Whoever asked may go away; half a climb would help nobody.
	found, err := f.Open(context.WithoutCancel(ctx))
	switch {
	case err != nil:
		return found, err
	case found.Gone():
		return found, errors.Join(ErrLost, found.Why)
	case f.db == nil:
		return found, fmt.Errorf("cannot reopen database: %w", found.Why)
	}
	if err := f.write(want, whole, f.whole.Changes(whole)); err != nil {
		f.drop(err)
		return found, err
	}
	return found, nil
}

// Rebuild makes a new file beside the old one, with these records, and puts it in its
// place when it is whole.
func (f *File) Rebuild(r Records) error {
	if f.db != nil {
		return fmt.Errorf("cannot build database %q: it is open", f.options.Path)
	}
	whole, err := f.options.Layout.sealed(r)
	if err != nil {
		return err
	}
	db, err := f.build(whole)
	if err != nil {
		return fmt.Errorf("cannot build database: %w", err)
	}
	f.db, f.whole, f.records = db, whole, r
	return nil
}

// write makes one transaction of the changes that lead to records.
func (f *File) write(want, whole Records, list []Change) error {
	if err := f.db.commit(list); err != nil {
		return err
	}
	f.whole, f.records = whole, want
	return nil
}

// drop lets go of the file after an error.
func (f *File) drop(why error) {
	db := f.db
	f.db, f.whole = nil, nil
	if err := db.end(why); err != nil {
		f.options.Log.Warn("database not closed", "error", err)
	}
}

// Close lets go of the file. All that was committed is on the disk already.
func (f *File) Close() error {
	if f.db == nil {
		return nil
	}
	db := f.db
	f.db = nil
	return db.close()
}
