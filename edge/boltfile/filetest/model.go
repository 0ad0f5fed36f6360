package filetest

import (
	"maps"
	"math/rand/v2"
)

// model is a disk: what is on it for certain, and what may be.
type model struct {
	files   map[int]*inode
	folder  map[string]int // on it for certain
	now     map[string]int // as the running program sees it
	pending []func(map[string]int)

	started, acknowledged uint64
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
		m.change(func(folder map[string]int) { folder[s.name] = id })
	case resize, write:
		file := m.files[m.now[s.name]]
		file.pending = append(file.pending, s)
	case syncFile:
		m.files[m.now[s.name]].sync()
	case rename:
		m.change(func(folder map[string]int) {
			if id, found := folder[s.name]; found {
				folder[s.to] = id
				delete(folder, s.name)
			}
		})
	case link:
		m.change(func(folder map[string]int) {
			if id, found := folder[s.name]; found {
				folder[s.to] = id
			}
		})
	case remove:
		m.change(func(folder map[string]int) { delete(folder, s.name) })
	case syncDir:
		m.folder = maps.Clone(m.now)
		m.pending = nil
	case start:
		m.started = s.v
	case acknowledge:
		m.acknowledged = s.v
	}
}

func (m *model) change(do func(map[string]int)) {
	do(m.now)
	m.pending = append(m.pending, do)
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
	for _, do := range m.pending[:r.IntN(len(m.pending)+1)] {
		do(folder)
	}
	left := map[string][]byte{}
	for name, id := range folder {
		left[name] = m.files[id].afterCut(r)
	}
	return left
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
