package boltfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// errFault: the file under the memory map went away or made bbolt panic. The database
// is unusable and must not even be closed in the ordinary way.
var errFault = errors.New("fault in the database")

// database is the open file.
type database struct {
	bolt *bbolt.DB
	file *os.File // bbolt's own, to let go of the lock when bbolt cannot
}

// openDatabase opens a file, or creates it. In this process only files that
// passed a check in another are opened.
func openDatabase(disk Disk, path string, maxBytes int, readOnly bool) (*database, error) {
	db := &database{}
	open := func(name string, flag int, mode os.FileMode) (file *os.File, err error) {
		file, err = disk.OpenFile(name, flag, mode)
		db.file = file
		return file, err
	}
	err := guard(func() (err error) {
		db.bolt, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         lockLimit,
			NoFreelistSync:  true, // the freelist is found anew at opening; saves a page a commit
			FreelistType:    bbolt.FreelistMapType,
			MaxSize:         maxBytes,
			ReadOnly:        readOnly,
			PreLoadFreelist: true,
			OpenFile:        open,
			NoStatistics:    true,
		})
		return err
	})
	switch {
	case errors.Is(err, errFault):
		db.abandon()
		return nil, err
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: another process has it", edge.ErrLocked)
	case err != nil:
		return nil, fmt.Errorf("cannot open database %q: %w", path, err)
	}
	return db, nil
}

// guard turns a panic, and a fault on the memory map, into an error. Only what
// happens in the caller's goroutine can be caught; hence the check in a child.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errFault, cause)
		}
	}()
	return do()
}

// read copies every record of a layout out of the file, the schema and the seal among
// them.
func (d *database) read(layout Layout) (whole Records, err error) {
	whole = Records{}
	err = guard(func() error {
		return d.bolt.View(func(tx *bbolt.Tx) error {
			for _, name := range append([]string{bucketMeta}, layout.Buckets...) {
				if bucket := tx.Bucket([]byte(name)); bucket != nil {
					if err := readBucket(bucket, name, whole); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
	return whole, err
}

func readBucket(bucket *bbolt.Bucket, name string, into Records) error {
	return bucket.ForEach(func(key, value []byte) error {
		if value == nil {
			return fmt.Errorf("%w: a bucket in %s", ErrDamaged, name)
		}
		into[name+"/"+string(key)] = append([]byte{}, value...)
		return nil
	})
}

// commit makes changes in one transaction. After an error nobody knows which state
// the file has.
func (d *database) commit(list []Change) error {
	return guard(func() error {
		return d.bolt.Update(func(tx *bbolt.Tx) error {
			for _, c := range list {
				if err := c.do(tx); err != nil {
					return fmt.Errorf("cannot write record %s/%s: %w", c.Bucket, c.Key, err)
				}
			}
			return nil
		})
	})
}

func (c Change) do(tx *bbolt.Tx) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(c.Bucket))
	if err != nil {
		return err
	}
	if c.Value == nil {
		return bucket.Delete([]byte(c.Key))
	}
	return bucket.Put([]byte(c.Key), c.Value)
}

// close ends an ordinary life.
func (d *database) close() error {
	err := guard(d.bolt.Close)
	if errors.Is(err, errFault) {
		d.abandon()
	}
	return err
}

// end lets go of the file after an error.
func (d *database) end(why error) error {
	if errors.Is(why, errFault) {
		d.abandon()
		return nil
	}
	return d.close()
}

// abandon lets go of the file without asking bbolt, whose locks may be held for
// good. The memory map stays until the process ends.
func (d *database) abandon() {
	if d.file != nil {
		// The map keeps the open file alive, and with it the lock.
		_ = unix.Flock(int(d.file.Fd()), unix.LOCK_UN)
		d.file.Close()
	}
}

// build makes a new file beside the old one and puts it in its place when it is whole.
func (f *File) build(whole Records) (*database, error) {
	disk, temporary := f.options.Disk, f.options.Path+".new"
	if err := ignoreAbsent(disk.Remove(temporary)); err != nil {
		return nil, err
	}
	db, err := openDatabase(disk, temporary, f.options.Layout.MaxBytes, false)
	if err != nil {
		return nil, err
	}
	err = db.commit(Records{}.Changes(whole))
	if err := errors.Join(err, db.end(err)); err != nil {
		return nil, errors.Join(err, ignoreAbsent(disk.Remove(temporary)))
	}
	return f.install(temporary)
}

// install puts a whole file in place and opens it.
func (f *File) install(from string) (*database, error) {
	disk, path := f.options.Disk, f.options.Path
	if err := disk.Rename(from, path); err != nil {
		return nil, err
	}
	if err := disk.SyncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return openDatabase(disk, path, f.options.Layout.MaxBytes, false)
}
