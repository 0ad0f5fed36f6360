package site

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// disk changes files so that each change lasts before the next begins.
type disk struct {
	// before is told of each change; an error keeps it from happening.
	before func(change, path string) error
}

func (d disk) step(change, path string) error {
	if d.before == nil {
		return nil
	}
	return d.before(change, path)
}

// put gives a file new content: after a power cut the old or the new is there, whole.
// A file that has it already is left alone, for flash has only so many writes.
func (d disk) put(path string, content []byte, mode fs.FileMode) error {
	if same(path, content, mode) {
		return nil
	}
	if err := d.folder(filepath.Dir(path)); err != nil {
		return err
	}
	draft := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := d.step("write", draft); err != nil {
		return err
	}
	if err := write(draft, content, mode); err != nil {
		return errors.Join(fmt.Errorf("cannot write file %q: %w", path, err), os.Remove(draft))
	}
	if err := d.step("rename", path); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return fmt.Errorf("cannot replace file: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

func same(path string, content []byte, mode fs.FileMode) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(content)) || mode != given && info.Mode().Perm() != mode {
		return false
	}
	found, err := os.ReadFile(path)
	return err == nil && bytes.Equal(found, content)
}

// write makes a file from nothing: a draft that an earlier run left may be open to more
// people than this one.
func write(path string, content []byte, mode fs.FileMode) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, cmp.Or(mode, open))
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if mode != given {
		err = errors.Join(err, file.Chmod(mode)) // whatever the process keeps from others
	}
	return errors.Join(err, file.Sync(), file.Close())
}

// folder makes a folder and those above it.
func (d disk) folder(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := d.step("mkdir", path); err != nil {
		return err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

// remove takes a file away; one that is not there is none of its matter.
func (d disk) remove(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := d.step("remove", path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove file: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

// scrub writes zeros over a file where it stands, then a note in its place; without a
// note the file is removed.
func (d disk) scrub(path string, note []byte) error {
	if err := d.step("scrub", path); err != nil {
		return err
	}
	if err := d.blank(path); err != nil {
		return fmt.Errorf("cannot overwrite file %q: %w", path, err)
	}
	if note == nil {
		return d.remove(path)
	}
	if err := d.step("note", path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cannot open file: %w", err)
	}
	_, err = file.Write(note)
	err = errors.Join(err, file.Truncate(int64(len(note))), file.Sync(), file.Close())
	if err != nil {
		return fmt.Errorf("cannot write note %q: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

func (d disk) blank(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		_, err = file.Write(make([]byte, info.Size()))
	}
	return errors.Join(err, file.Sync(), file.Close())
}

// syncFolder makes the names in a folder last. FAT under some kernels refuses that; the
// file itself has been flushed then.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot open folder: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil && !errors.Is(err, os.ErrInvalid) {
		return fmt.Errorf("cannot flush folder: %w", err)
	}
	return nil
}

// read gives a regular file of bounded size.
func read(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, fmt.Errorf("%q is no regular file of at most %d bytes", path, most)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}
