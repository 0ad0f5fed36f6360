package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// writeCPIO writes a folder as the kernel reads its first file system: in the order of the
// names, all of it root's and of one time.
func writeCPIO(to io.Writer, folder string, at int64) error {
	w := cpio{to: to, at: at}
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		return w.add(inside, name, entry)
	})
	if err != nil {
		return fmt.Errorf("cannot pack %q: %w", folder, err)
	}
	return w.entry("TRAILER!!!", 0, nil)
}

// cpio writes entries of the format "newc".
type cpio struct {
	to io.Writer
	at int64
	n  int // entries so far, each of which has a number
}

func (w *cpio) add(inside, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	const folder, file, link = 0o040000, 0o100000, 0o120000 // of stat(2)
	mode := uint32(info.Mode().Perm())
	switch {
	case entry.IsDir():
		return w.entry(inside, folder|mode, nil)
	case entry.Type()&fs.ModeSymlink != 0:
		to, err := os.Readlink(name)
		if err != nil {
			return err
		}
		return w.entry(inside, link|0o777, []byte(to))
	default:
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return w.entry(inside, file|mode, text)
	}
}

// entry writes one: its head in hexadecimal digits, its name, its content, each of them up to
// a multiple of four bytes.
func (w *cpio) entry(name string, mode uint32, content []byte) error {
	w.n++
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		w.n, mode, 0, 0, 1, uint32(w.at), len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	for _, part := range [][]byte{[]byte(head), content} {
		if _, err := w.to.Write(append(part, make([]byte, -len(part)&3)...)); err != nil {
			return fmt.Errorf("cannot write entry %q: %w", name, err)
		}
	}
	return nil
}
