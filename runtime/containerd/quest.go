package containerd

import (
	"archive/tar"
	"math"
	"path"
	"strings"
)

// How layers say what is gone from those below, by the names of empty files: one
// file or folder, or all that a folder held.
const (
	whiteout       = ".wh."
	whiteoutMeta   = ".wh..wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// quest is the search for one file, from the uppermost layer down. It does no I/O.
type quest struct {
	path    string // sought now, without the leading slash
	from    int    // the uppermost layer that counts, or anyLayer
	hops    int    // links followed
	settled bool   // nothing more is sought
	moved   bool   // it is to be sought elsewhere
	text    []byte // what was found; nil: nothing

	here sighting // in the layer that is being read
}

const anyLayer = math.MaxInt

// sighting is what one layer says of a path. Its last word counts, but for what it
// takes away, which is of the layers below.
type sighting struct {
	hides bool   // nothing of the path remains from below
	file  []byte // its content
	link  string // it is, or lies behind, a link to this path
	hard  bool   // and the link means this layer's file
}

// see takes note of an entry.
func (q *quest) see(name string, header *tar.Header, text []byte) {
	dir, base := path.Split(name)
	if strings.HasPrefix(base, whiteout) {
		q.seeWhiteout(path.Clean(dir), base)
		return
	}
	if name != q.path && !beneath(q.path, name) {
		return
	}
	if name != q.path && header.Typeflag == tar.TypeDir {
		return // a folder on the way, which may be in any layer
	}
	rest := strings.TrimPrefix(q.path, name)
	q.here = sighting{hides: true}
	switch header.Typeflag {
	case tar.TypeReg:
		if rest == "" {
			q.here.file = text
		}
	case tar.TypeLink:
		q.here.link, q.here.hard = rooted("/", header.Linkname+rest), true
	case tar.TypeSymlink:
		q.here.link = rooted("/"+dir, header.Linkname+rest)
	}
}

func (q *quest) seeWhiteout(dir, base string) {
	switch {
	case base == whiteoutOpaque:
		q.here.hides = q.here.hides || beneath(q.path, dir)
	case strings.HasPrefix(base, whiteoutMeta):
		// Means something to the file system that made the layer.
	default:
		victim := path.Join(dir, strings.TrimPrefix(base, whiteout))
		q.here.hides = q.here.hides || victim == q.path || beneath(q.path, victim)
	}
}

// settle draws the conclusion from a layer that was read to its end.
func (q *quest) settle(number int) {
	here := q.here
	q.here = sighting{}
	switch {
	case here.link != "":
		q.moved, q.path, q.hops = true, here.link, q.hops+1
		q.from = anyLayer
		if here.hard {
			q.from = number
		}
	case here.hides:
		q.settled, q.text = true, here.file
	}
}

// resume tells, when all layers were read, whether they must be read again.
func (q *quest) resume() bool {
	again := q.moved && q.hops <= maxHops
	q.moved, q.settled = false, q.settled || !again
	return again
}

// beneath tells whether a path lies in a folder, at any depth.
func beneath(name, dir string) bool {
	return dir == "." || dir == "" || strings.HasPrefix(name, dir+"/")
}

// rooted is where a link leads from a folder, never above the image's root.
func rooted(dir, target string) string {
	if !path.IsAbs(target) {
		target = path.Join("/", dir, target)
	}
	return strings.TrimPrefix(path.Clean(target), "/")
}
