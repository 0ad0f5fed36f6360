package slots

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"holdfast/edge/boltfile"
)

// Disk is what is done to files, so that tests can record it and make it fail.
type Disk interface {
	boltfile.Disk
	// Overwrite opens a file that is there, to be written from its beginning in place.
	Overwrite(name string) (boltfile.DiskFile, error)
}

// realDisk is the kernel's.
type realDisk struct{ boltfile.RealDisk }

var _ Disk = realDisk{}

// Overwrite opens a file for writing.
func (realDisk) Overwrite(name string) (boltfile.DiskFile, error) {
	return os.OpenFile(name, os.O_WRONLY, 0)
}

// recordNames are the two records, written in turn.
var recordNames = [2]string{"record.1", "record.2"}

// book is what the two records say.
type book struct {
	newest record
	at     int  // which of the files that is
	none   bool // there is no record at all
	lost   bool // there are records, and none can be read
	torn   bool // the other one is damaged, as a power cut in the middle of writing leaves it
}

func (s *Store) recordPath(i int) string { return filepath.Join(s.o.Dir, recordNames[i]) }

// read returns the newest record that is whole. An error says that there are records and
// none of them can be read.
func (s *Store) read() (book, error) {
	var found book
	var trouble error
	absent := 0
	for i := range recordNames {
		content, err := boltfile.ReadBounded(s.recordPath(i), recordSize)
		if errors.Is(err, os.ErrNotExist) {
			absent++
			continue
		}
		var r record
		if err == nil {
			r, err = decode(content)
		}
		if err != nil {
			trouble = fmt.Errorf("cannot read %q: %w", s.recordPath(i), err)
			continue
		}
		if r.Generation > found.newest.Generation {
			found.newest, found.at = r, i
		}
	}
	switch {
	case absent == len(recordNames):
		return book{none: true, newest: record{State: s.fresh()}, at: 1}, nil
	case found.newest.Generation == 0:
		return book{lost: true, newest: record{State: s.fresh()}, at: 1}, trouble
	}
	found.torn = trouble != nil
	return found, nil
}

// fresh is the state of a node that never had another version than the factory's.
func (s *Store) fresh() State {
	return State{Active: Factory, Confirmed: Factory, Factory: s.o.Factory}
}

// write makes a state last. It goes over the older of the two records in place, which needs
// no room on the disk and moves nothing in its folder; whatever becomes of that, the newer
// one is whole.
func (s *Store) write(found book, state State) error {
	content, err := record{found.newest.Generation + 1, state}.encode()
	if err != nil {
		return err
	}
	name := s.recordPath(1 - found.at)
	info, err := os.Lstat(name)
	if err == nil && info.Mode().IsRegular() && info.Size() == recordSize {
		err = s.overwrite(name, content)
	} else {
		err = boltfile.Replace(s.disk, name, content)
	}
	if err == nil && found.lost {
		// What cannot be read today may be read tomorrow, and would be the newer one.
		err = s.remove(s.recordPath(found.at))
	}
	if err != nil {
		return fmt.Errorf("cannot write record %q: %w", name, err)
	}
	return nil
}

// remove takes a file away that may not be there, for good.
func (s *Store) remove(name string) error {
	if err := s.disk.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return s.disk.SyncDir(filepath.Dir(name))
}

func (s *Store) overwrite(name string, content []byte) error {
	file, err := s.disk.Overwrite(name)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
