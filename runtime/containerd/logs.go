package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"holdfast/edge"
)

// rotatedLog names a log of the instance: 0 is the one being written, higher
// numbers are older.
func (d *Driver) rotatedLog(id string, number int) string {
	if number == 0 {
		return d.logPath(id)
	}
	return d.logPath(id) + "." + strconv.Itoa(number)
}

// LogTail returns the last lines an instance wrote, those before the last
// rotation among them; 0 lines returns all there are.
func (d *Driver) LogTail(_ context.Context, id string, lines int) (io.ReadCloser, error) {
	tail, _, err := d.tail(id, lines)
	return tail, err
}

// LogFollow returns the last lines and then whatever the instance goes on to
// write, until ctx ends or the instance is removed.
func (d *Driver) LogFollow(ctx context.Context, id string, lines int) (io.ReadCloser, error) {
	tail, offset, err := d.tail(id, lines)
	if err != nil {
		return nil, err
	}
	rest := &follower{ctx: ctx, path: d.logPath(id), offset: offset}
	return &joined{Reader: io.MultiReader(tail, rest), closers: []io.Closer{tail, rest}}, nil
}

// tail also returns how far into the live log it reaches.
func (d *Driver) tail(id string, lines int) (io.ReadCloser, int64, error) {
	if err := checkID(id); err != nil {
		return nil, 0, err
	}
	result := &joined{}
	var readers []io.Reader
	var reach int64
	missing := lines
	for number := 0; lines == 0 || missing > 0; number++ {
		file, err := os.Open(d.rotatedLog(id, number))
		if errors.Is(err, fs.ErrNotExist) && number > 0 {
			break
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, 0, fmt.Errorf("no log of instance %q: %w", id, edge.ErrNotFound)
		}
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("cannot open log of instance %q: %w", id, err), result.Close())
		}
		result.closers = append(result.closers, file)
		start, end, found, err := lastLines(file, missing)
		if err != nil {
			return nil, 0, errors.Join(fmt.Errorf("cannot read log of instance %q: %w", id, err), result.Close())
		}
		if number == 0 {
			reach = end
		}
		missing -= found
		readers = append([]io.Reader{io.NewSectionReader(file, start, end-start)}, readers...)
	}
	result.Reader = io.MultiReader(readers...)
	return result, reach, nil
}

// lastLines finds where the last lines of a file start, reading backwards. It
// returns how many there are, at most wanted; 0 wants all.
func lastLines(file *os.File, wanted int) (start, end int64, found int, err error) {
	info, err := file.Stat()
	if err != nil {
		return 0, 0, 0, err
	}
	end = info.Size()
	if wanted == 0 {
		return 0, end, 0, nil
	}
	block := make([]byte, 8<<10)
	for at := end; at > 0; {
		n := min(at, int64(len(block)))
		at -= n
		if _, err := file.ReadAt(block[:n], at); err != nil && err != io.EOF {
			return 0, 0, 0, err
		}
		for i := n - 1; i >= 0; i-- {
			// The newline that ends the file starts no line.
			if block[i] != '\n' || at+i == end-1 {
				continue
			}
			if found++; found == wanted {
				return at + i + 1, end, found, nil
			}
		}
	}
	if end > 0 {
		found++
	}
	return 0, end, found, nil
}

// follower reads a growing file. It looks again after a while, as often as a
// person can tell apart.
type follower struct {
	ctx    context.Context
	path   string
	offset int64
	file   *os.File
}

func (f *follower) Read(p []byte) (int, error) {
	const look = 100 * time.Millisecond
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		n, err := f.more(p)
		if n > 0 || err != nil {
			return n, err
		}
		select {
		case <-f.ctx.Done():
			return 0, io.EOF
		case <-ticker.C:
		}
	}
}

// more reads what is there now. A file that shrank was rotated; one that lost its
// name was removed with its instance.
func (f *follower) more(p []byte) (int, error) {
	if f.file == nil {
		file, err := os.Open(f.path)
		if err != nil {
			return 0, io.EOF
		}
		f.file = file
	}
	info, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() < f.offset {
		f.offset = 0
	}
	n, err := f.file.ReadAt(p, f.offset)
	f.offset += int64(n)
	if n > 0 || !errors.Is(err, io.EOF) {
		return n, err
	}
	if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
		return 0, io.EOF
	}
	return 0, nil
}

func (f *follower) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

// joined reads from several files and closes all.
type joined struct {
	io.Reader
	closers []io.Closer
}

func (j *joined) Close() error {
	var failed []error
	for _, closer := range j.closers {
		failed = append(failed, closer.Close())
	}
	return errors.Join(failed...)
}
