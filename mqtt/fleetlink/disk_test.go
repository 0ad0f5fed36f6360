package fleetlink_test

import (
	"io"
	"sync"

	"holdfast/mqtt/outbox"
)

// disk is a disk in memory that keeps through a power cut what was synced, and
// nothing else.
type disk struct {
	mu    sync.Mutex // guards files
	files map[string]*file
}

type file struct {
	disk          *disk
	live, durable []byte
}

func newDisk() *disk { return &disk{files: map[string]*file{}} }

// cut is the disk after a power cut.
func (d *disk) cut() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := newDisk()
	for name, f := range d.files {
		after.files[name] = &file{disk: after, live: append([]byte(nil), f.durable...), durable: append([]byte(nil), f.durable...)}
	}
	return after
}

func (d *disk) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }
func (d *disk) SyncDir(string) error           { return nil }

func (d *disk) Open(name string) (outbox.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		d.files[name] = &file{disk: d}
	}
	return d.files[name], nil
}

func (f *file) Close() error { return nil }

func (f *file) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.live)), nil
}

func (f *file) ReadAt(p []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if at >= int64(len(f.live)) {
		return 0, io.EOF
	}
	n := copy(p, f.live[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.live = written(f.live, p, int(at))
	return len(p), nil
}

func written(to, p []byte, at int) []byte {
	if need := at + len(p); need > len(to) {
		to = append(to, make([]byte, need-len(to))...)
	}
	copy(to[at:], p)
	return to
}

func (f *file) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.durable = append(f.durable[:0], f.live...)
	return nil
}

var _ outbox.Disk = (*disk)(nil)
