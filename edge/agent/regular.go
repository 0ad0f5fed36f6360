package agent

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"holdfast/edge"
)

// openRegular opens a file to read from, and nothing else: a pipe or a terminal would
// keep its reader waiting for ever, and there are devices that act on being opened.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := wantRegular(path, info); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDONLY|waitForNobody, 0)
	if err != nil {
		return nil, err
	}
	return checkRegular(file)
}

// waitForNobody lets an open return at once, should the file be something else by then
// than it was when it was looked at.
const waitForNobody = syscall.O_NONBLOCK | syscall.O_NOCTTY

// checkRegular closes an open file that is not a regular one.
func checkRegular(file *os.File) (*os.File, error) {
	info, err := file.Stat()
	if err == nil {
		err = wantRegular(file.Name(), info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func wantRegular(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%q is not a regular file (%v): %w", path, info.Mode().Type(), edge.ErrInvalid)
}

// readRegular reads a whole file of at most so many bytes.
func readRegular(path string, most int64) ([]byte, error) {
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%q has more than %d bytes: %w", path, most, edge.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}
