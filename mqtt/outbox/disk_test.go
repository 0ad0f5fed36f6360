package outbox_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"holdfast/mqtt/outbox"
)

// image is the content of a file, without the pages that are zeros from the start.
// Pages are never changed in place, so a shallow copy is a copy.
type image struct {
	pages map[int][]byte
	size  int
}

const imagePage = 4096

func newImage() *image { return &image{pages: map[int][]byte{}} }

func (i *image) clone() *image { return &image{maps.Clone(i.pages), i.size} }

func (i *image) write(at int, data []byte) {
	i.size = max(i.size, at+len(data))
	for len(data) > 0 {
		number, within := at/imagePage, at%imagePage
		n := min(len(data), imagePage-within)
		old, found := i.pages[number]
		if found || data[0] != 0 || !bytes.Equal(data[1:n], data[:n-1]) {
			fresh := make([]byte, imagePage)
			copy(fresh, old)
			copy(fresh[within:], data[:n])
			i.pages[number] = fresh
		}
		at, data = at+n, data[n:]
	}
}

func (i *image) read(at int, to []byte) int {
	n := max(0, min(len(to), i.size-at))
	clear(to[:n])
	for done := 0; done < n; {
		number, within := (at+done)/imagePage, (at+done)%imagePage
		part := to[done:min(n, done+imagePage-within)]
		if content, found := i.pages[number]; found {
			copy(part, content[within:])
		}
		done += len(part)
	}
	return n
}

// step is something that happened to a disk, or that its user was told.
type step struct {
	kind stepKind
	name string
	at   int
	data []byte
	seq  uint64
	from uint64 // of a promise: behind which number it begins
}

type stepKind int

const (
	stepCreate stepKind = iota
	stepWrite
	stepSync
	stepSyncDir
	stepAppend  // the number was given out
	stepPromise // D1 records behind from and up to it are on flash
	stepAck     // was acknowledged
	stepDrop    // records up to it went for want of room
)

// memDisk is a disk in memory that fails when told to, and tells what is done to it.
type memDisk struct {
	mu    sync.Mutex
	files map[string]*image
	held  bool
	watch func(step)                      // nil: nobody
	fail  func(op string, n int) error    // nil: never; n counts all operations from 1
	room  func(grow int) error            // asked before a file grows
	stuck func(op string) <-chan struct{} // an operation waits for it first
	done  int
}

var _ outbox.Disk = (*memDisk)(nil)

func newMemDisk() *memDisk { return &memDisk{files: map[string]*image{}} }

func (d *memDisk) tell(s step) {
	if d.watch != nil {
		d.watch(s)
	}
}

// begin counts an operation and says whether it fails. It leaves the lock held.
func (d *memDisk) begin(op string) error {
	if d.stuck != nil {
		if wait := d.stuck(op); wait != nil {
			<-wait
		}
	}
	d.mu.Lock()
	d.done++
	if d.fail != nil {
		return d.fail(op, d.done)
	}
	return nil
}

func (d *memDisk) setFail(fail func(string, int) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fail
}

func (d *memDisk) Lock(string) (io.Closer, error) {
	err := d.begin("lock")
	defer d.mu.Unlock()
	if err == nil && d.held {
		err = unix.EWOULDBLOCK
	}
	if err != nil {
		return nil, err
	}
	d.held = true
	return closer(d.unlock), nil
}

func (d *memDisk) unlock() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = false
}

type closer func()

func (c closer) Close() error {
	c()
	return nil
}

func (d *memDisk) Open(name string) (outbox.File, error) {
	err := d.begin("open")
	defer d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	name = filepath.Base(name)
	if d.files[name] == nil {
		d.files[name] = newImage()
		d.tell(step{kind: stepCreate, name: name})
	}
	return &memFile{disk: d, name: name}, nil
}

func (d *memDisk) SyncDir(string) error {
	err := d.begin("syncdir")
	defer d.mu.Unlock()
	if err == nil {
		d.tell(step{kind: stepSyncDir})
	}
	return err
}

type memFile struct {
	disk *memDisk
	name string
}

func (f *memFile) Close() error { return nil }

func (f *memFile) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(f.disk.files[f.name].size), nil
}

func (f *memFile) ReadAt(to []byte, at int64) (int, error) {
	err := f.disk.begin("read")
	defer f.disk.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n := f.disk.files[f.name].read(int(at), to)
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(data []byte, at int64) (int, error) {
	err := f.disk.begin("write")
	defer f.disk.mu.Unlock()
	file := f.disk.files[f.name]
	if grow := int(at) + len(data) - file.size; err == nil && grow > 0 && f.disk.room != nil {
		err = f.disk.room(grow)
	}
	if err != nil {
		if errors.Is(err, unix.EIO) { // nobody knows how much arrived
			file.write(int(at), data[:len(data)/2])
		}
		return 0, err
	}
	file.write(int(at), data)
	f.disk.tell(step{kind: stepWrite, name: f.name, at: int(at), data: slices.Clone(data)})
	return len(data), nil
}

func (f *memFile) Sync() error {
	err := f.disk.begin("sync")
	defer f.disk.mu.Unlock()
	if err == nil {
		f.disk.tell(step{kind: stepSync, name: f.name})
	}
	return err
}

// platter is what of a disk outlives the power: some for certain, some perhaps.
type platter struct {
	files   map[string]*durable
	folder  map[string]bool // on it for certain
	created []string        // perhaps
}

type durable struct {
	image
	pending []step
}

func newPlatter() *platter {
	return &platter{files: map[string]*durable{}, folder: map[string]bool{}}
}

func (p *platter) do(s step) {
	switch s.kind {
	case stepCreate:
		p.files[s.name] = &durable{image: *newImage()}
		p.created = append(p.created, s.name)
	case stepWrite:
		p.files[s.name].pending = append(p.files[s.name].pending, s)
	case stepSync:
		file := p.files[s.name]
		for _, s := range file.pending {
			file.write(s.at, s.data)
		}
		file.pending = nil
	case stepSyncDir:
		for _, name := range p.created {
			p.folder[name] = true
		}
		p.created = nil
	}
}

// certain is what is there whatever the power cut does.
func (p *platter) certain() *memDisk {
	disk := newMemDisk()
	for name := range p.folder {
		disk.files[name] = p.files[name].clone()
	}
	return disk
}

// cut is one of the states a power cut may leave: each write since the last sync is
// there, or is not, or is in some of its sectors.
func (p *platter) cut(r *rand.Rand, sector int) *memDisk {
	disk := p.certain()
	for _, name := range p.created[:r.IntN(len(p.created)+1)] {
		disk.files[name] = p.files[name].clone()
	}
	for _, name := range slices.Sorted(maps.Keys(disk.files)) {
		file := disk.files[name]
		for _, s := range p.files[name].pending {
			switch r.IntN(3) {
			case 0:
			case 1:
				file.write(s.at, s.data)
			default:
				tear(file, s, r, sector)
			}
		}
	}
	return disk
}

func tear(file *image, s step, r *rand.Rand, sector int) {
	for from := 0; from < len(s.data); {
		to := min(len(s.data), from+sector-(s.at+from)%sector)
		if r.IntN(2) == 0 {
			file.write(s.at+from, s.data[from:to])
		}
		from = to
	}
}
