package filetest

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
)

// model is a disk: what is on it for certain, and what may be.
type model struct {
	files   map[int]*inode
	folder  map[string]int // on it for certain
	now     map[string]int // as the running program sees it
	pending []change

	started, acknowledged uint64
}

// change is one in a folder.
type change struct {
	folder string
	do     func(map[string]int)
}

// inode is a file without a name.
type inode struct {
	content []byte // on the disk for certain
	pending []Step // resizes and writes since
}

func newModel() *model {
	return &model{files: map[int]*inode{}, folder: map[string]int{}, now: map[string]int{}}
}

func (m *model) do(s Step) {
	switch s.kind {
	case create:
		id := len(m.files)
		m.files[id] = &inode{}
		m.change(s.name, func(folder map[string]int) { folder[s.name] = id })
	case resize, write:
		file := m.files[m.now[s.name]]
		file.pending = append(file.pending, s)
	case syncFile:
		m.files[m.now[s.name]].sync()
	case rename:
		m.change(s.to, func(folder map[string]int) {
			if id, found := folder[s.name]; found {
				folder[s.to] = id
				delete(folder, s.name)
			}
		})
	case link:
		m.change(s.to, func(folder map[string]int) {
			if id, found := folder[s.name]; found {
				folder[s.to] = id
			}
		})
	case remove:
		m.change(s.name, func(folder map[string]int) { delete(folder, s.name) })
	case syncDir:
		m.settle(s.name)
	case start:
		m.started = s.v
	case acknowledge:
		m.acknowledged = s.v
	}
}

func (m *model) change(name string, do func(map[string]int)) {
	do(m.now)
	m.pending = append(m.pending, change{filepath.Dir(name), do})
}

// settle makes what was changed in a folder last.
func (m *model) settle(folder string) {
	m.pending = slices.DeleteFunc(m.pending, func(c change) bool {
		if c.folder == folder {
			c.do(m.folder)
		}
		return c.folder == folder
	})
}

func (i *inode) sync() {
	for _, s := range i.pending {
		i.content = s.onto(i.content, 0, len(s.data))
	}
	i.pending = nil
}

// onto is the content after a part of a write, or a resize.
func (s Step) onto(content []byte, from, to int) []byte {
	need := s.at + to
	if s.kind == resize {
		need = s.size
	}
	for len(content) < need {
		content = append(content, 0)
	}
	if s.kind == write {
		copy(content[s.at+from:], s.data[from:to])
	}
	return content
}

// sector is what a disk writes whole or not at all.
const sector = 512

// powerCut is what may be on the disk when the power comes back.
func (m *model) powerCut(r *rand.Rand) map[string][]byte {
	folder := maps.Clone(m.folder)
	for _, changes := range m.byFolder() {
		for _, c := range changes[:r.IntN(len(changes)+1)] {
			c.do(folder)
		}
	}
	left := map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(folder)) { // the same for the same seed
		left[name] = m.files[folder[name]].afterCut(r)
	}
	return left
}

// byFolder is what is pending: folders keep no order among one another.
func (m *model) byFolder() [][]change {
	var all [][]change
	at := map[string]int{}
	for _, c := range m.pending {
		i, found := at[c.folder]
		if !found {
			i, all = len(all), append(all, nil)
			at[c.folder] = i
		}
		all[i] = append(all[i], c)
	}
	return all
}

// afterCut lets each write arrive, not arrive, or arrive in some of its sectors.
func (i *inode) afterCut(r *rand.Rand) []byte {
	content := append([]byte{}, i.content...)
	for _, s := range i.pending {
		switch fate := r.IntN(3); {
		case fate == 0:
		case fate == 1 || s.kind == resize:
			content = s.onto(content, 0, len(s.data))
		default:
			for from := 0; from < len(s.data); from += sector {
				if r.IntN(2) == 0 {
					content = s.onto(content, from, min(from+sector, len(s.data)))
				}
			}
		}
	}
	return content
}
