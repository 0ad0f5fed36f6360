package site

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ImagesFolder is where images of models lie on the boot partition, and in the folder of
// the state: from there the agent imports what its policy names.
const ImagesFolder = "images"

// MoveImages brings images from the boot partition to the node's stock. One that cannot be
// moved stays where it is, and is tried again at the next boot; the others are moved all
// the same.
func (a *Applier) MoveImages() (moved []string, err error) {
	from := filepath.Join(a.folders.Boot, ImagesFolder)
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look into the boot partition: %w", err)
	}
	if len(entries) > 0 && a.Unkept() { // nor is memory the place for images
		return nil, errors.New("images stay on the boot partition: the state lies in memory")
	}
	var failed error
	for _, entry := range entries {
		if !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if err := a.moveImage(filepath.Join(from, entry.Name()), entry.Name()); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		moved = append(moved, entry.Name())
	}
	return moved, failed
}

func (a *Applier) moveImage(from, name string) error {
	folder, own := filepath.Join(a.folders.State, ImagesFolder), filepath.Join(a.folders.State, folderName)
	for _, needed := range []string{folder, own} {
		if err := a.disk.folder(needed); err != nil {
			return err
		}
	}
	to, draft := filepath.Join(folder, name), filepath.Join(own, name+".new") // the agent reads all that lies in the stock
	if alike(from, to) {                                                      // the boot partition cannot be written to, or the power was cut
		return a.disk.remove(from)
	}
	if err := a.disk.step("copy", draft); err != nil {
		return err
	}
	if err := copyFile(from, draft); err != nil {
		return errors.Join(fmt.Errorf("cannot copy image %q to the stock: %w", name, err), os.Remove(draft))
	}
	if err := a.disk.step("rename", to); err != nil {
		return err
	}
	if err := os.Rename(draft, to); err != nil {
		return fmt.Errorf("cannot replace image: %w", err)
	}
	if err := syncFolder(folder); err != nil {
		return err
	}
	return a.disk.remove(from)
}

// alike tells whether two files have the same content.
func alike(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	if err != nil || one.Size() != other.Size() {
		return false
	}
	first, err := digestOfFile(a)
	if err != nil {
		return false
	}
	second, err := digestOfFile(b)
	return err == nil && bytes.Equal(first, second)
}

func digestOfFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	digest := sha256.New()
	_, err = io.Copy(digest, file)
	return digest.Sum(nil), err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, open)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
