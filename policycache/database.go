package policycache

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// errFault: the file under the memory map went away or made bbolt panic. The database
// is unusable and must not even be closed in the ordinary way.
var errFault = errors.New("fault in the database")

// database is an open state.db.
type database struct {
	bolt *bbolt.DB
	file *os.File // bbolt's own, to let go of the lock when bbolt cannot
}

// openDatabase opens a file, or creates it. In this process only files that
// passed a check in another are opened.
func openDatabase(disk Disk, path string, readOnly bool, limit time.Duration) (*database, error) {
	db := &database{}
	open := func(name string, flag int, mode os.FileMode) (file *os.File, err error) {
		file, err = disk.OpenFile(name, flag, mode)
		db.file = file
		return file, err
	}
	err := guard(func() (err error) {
		db.bolt, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         limit,
			NoFreelistSync:  true, // the freelist is found anew at opening; saves a page a commit
			FreelistType:    bbolt.FreelistMapType,
			MaxSize:         maxDatabase,
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
		return nil, errHeld
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

// read copies every record of the policy cache out of the file.
func (d *database) read() (r records, err error) {
	r = records{}
	err = guard(func() error {
		return d.bolt.View(func(tx *bbolt.Tx) error {
			for _, name := range buckets {
				if bucket := tx.Bucket([]byte(name)); bucket != nil {
					if err := readBucket(bucket, name, r); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return r, r.upgrade()
}

func readBucket(bucket *bbolt.Bucket, name string, into records) error {
	return bucket.ForEach(func(key, value []byte) error {
		if value == nil {
			return fmt.Errorf("%w: a bucket in %s", errDamaged, name)
		}
		into[name+"/"+string(key)] = append([]byte{}, value...)
		return nil
	})
}

// commit makes changes in one transaction. After an error nobody knows which state
// the file has.
func (d *database) commit(list []change) error {
	return guard(func() error {
		return d.bolt.Update(func(tx *bbolt.Tx) error {
			for _, c := range list {
				if err := c.do(tx); err != nil {
					return fmt.Errorf("cannot write state %s/%s: %w", c.bucket, c.key, err)
				}
			}
			return nil
		})
	})
}

func (c change) do(tx *bbolt.Tx) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(c.bucket))
	if err != nil {
		return err
	}
	if c.value == nil {
		return bucket.Delete([]byte(c.key))
	}
	return bucket.Put([]byte(c.key), c.value)
}

// close ends an ordinary life.
func (d *database) close() error {
	err := guard(d.bolt.Close)
	if errors.Is(err, errFault) {
		d.abandon()
	}
	return err
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

// buildDatabase makes a new file beside the old one and puts it in its place when it
// is whole.
func buildDatabase(disk Disk, path string, r records) (*database, error) {
	temporary := path + ".new"
	if err := ignoreAbsent(disk.Remove(temporary)); err != nil {
		return nil, err
	}
	db, err := openDatabase(disk, temporary, false, lockLimit)
	if err != nil {
		return nil, err
	}
	err = db.commit(records{}.changes(r))
	if errors.Is(err, errFault) {
		db.abandon()
		return nil, err
	}
	if err := errors.Join(err, db.close()); err != nil {
		return nil, errors.Join(err, ignoreAbsent(disk.Remove(temporary)))
	}
	return installDatabase(disk, temporary, path)
}
