package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// The codes of the warnings of a disk that fills.
const (
	codeDiskTight = "disk-tight"
	codeDiskShort = "disk-short"
)

const (
	// pressureEvery is how often the file systems are looked at: a system call each.
	pressureEvery = 30 * time.Second
	// pruneAgain is how long a disk that stays scarce is left alone between two looks for
	// images to remove.
	pruneAgain = 10 * time.Minute
	// needAgain is the same where somebody asks for room.
	needAgain = 10 * time.Second
	// fresh is how long an image that nothing needs yet is spared while the disk is merely
	// scarce: whoever brought it is about to name it in a policy.
	fresh = 24 * time.Hour
)

// squeeze is how far a file system has filled.
type squeeze uint8

const (
	plenty squeeze = iota
	tight          // a warning says so
	scarce         // images that nothing needs go
	short          // no image comes in
)

// How much must be free, in parts of what the node keeps for itself, for a file system
// to be no more than this.
var floors = [...]uint64{tight: 3, scarce: 2, short: 1}

// space is what a file system has.
type space struct {
	device            uint64
	total, free       uint64 // bytes; free to the agent, who may take root's share
	inodes, inodeFree uint64 // 0 where there is no such bound
}

// reserveShare of a file system is the most that is kept: on a small disk the configured
// bytes may be half of it.
const reserveShare = 20

// reserved is what the node keeps of a file system, in bytes and inodes.
func (s space) reserved(bytes uint64) (room, inodes uint64) {
	return min(bytes, s.total/reserveShare), s.inodes / reserveShare
}

// squeeze tells how far the file system has filled. It is left again a tenth above where
// it was entered, so that nothing goes back and forth.
func (s space) squeeze(bytes uint64, standing squeeze) squeeze {
	room, inodes := s.reserved(bytes)
	for level := short; level > plenty; level-- {
		needRoom, needInodes := room*floors[level], inodes*floors[level]
		if level <= standing {
			needRoom, needInodes = needRoom/10*11, needInodes/10*11
		}
		if s.free < needRoom || s.inodeFree < needInodes {
			return level
		}
	}
	return plenty
}

// place is a file system that something of the node's lies on.
type place struct {
	folder string
	holds  bool // containerd's images
	space
}

// pressure watches the file systems of the node's state and of containerd's images, and
// acts before they are full: it warns, removes images that nothing needs, and lets none
// in. What runs keeps running, and every step is undone when there is room again.
type pressure struct {
	reserve  uint64
	state    string
	folders  func(context.Context) ([]string, error) // where containerd keeps images
	look     func(folder string) (space, error)
	prune    func(ctx context.Context, spare func(edge.Image) bool) (pruned, error)
	gone     func(cause string, images []edge.Image)
	warnings *warnings
	log      *slog.Logger
	hurry    chan struct{} // capacity 1: somebody found the disk short

	mu     sync.Mutex // guards what follows
	kept   []string   // containerd's folders, once known
	levels map[string]squeeze
	pruned time.Time
}

func (a *Agent) newPressure(reserve int64, state string) *pressure {
	p := a.newPruner()
	return &pressure{
		reserve: uint64(reserve), state: state, folders: a.driver.Folders, look: lookAt,
		prune: p.Prune, gone: a.tellGone, warnings: a.warnings, log: a.options.Log,
		hurry: make(chan struct{}, 1), levels: map[string]squeeze{},
	}
}

// lookAt measures the file system of a folder.
func lookAt(folder string) (space, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return space{}, &os.PathError{Op: "statfs", Path: folder, Err: err}
	}
	info, err := os.Stat(folder)
	if err != nil {
		return space{}, err
	}
	s := space{
		total: stat.Blocks * uint64(stat.Bsize), free: stat.Bavail * uint64(stat.Bsize),
		inodes: stat.Files, inodeFree: stat.Ffree,
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device = sys.Dev
	}
	return s, nil
}

// Run looks every half minute, and when somebody found the disk short, until ctx ends.
func (p *pressure) Run(ctx context.Context) error {
	ticker := time.NewTicker(pressureEvery)
	defer ticker.Stop()
	for {
		p.act(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-p.hurry:
		}
	}
}

// act looks at every file system and does what its squeeze asks for.
func (p *pressure) act(ctx context.Context) {
	places := p.places(ctx)
	p.relieve(ctx, places)
	for _, at := range places {
		p.mu.Lock()
		before := p.levels[at.folder]
		now := at.squeeze(p.reserve, before)
		p.levels[at.folder] = now
		p.mu.Unlock()
		if now != before {
			p.warn(at, now)
		}
	}
}

// relieve removes images that nothing needs, if the disk they lie on wants it, and
// measures anew.
func (p *pressure) relieve(ctx context.Context, places []place) {
	worst := plenty
	for _, at := range places {
		if at.holds {
			worst = max(worst, at.squeeze(p.reserve, plenty))
		}
	}
	if worst < scarce || !p.dueAt(time.Now(), pruneAgain) {
		return
	}
	p.remove(ctx, worst == short)
	for i := range places {
		if now, err := p.look(places[i].folder); err == nil {
			places[i].space = now
		}
	}
}

// remove takes images away that nothing needs, and tells whether there were any. Those
// that came lately are spared, unless the disk is short.
func (p *pressure) remove(ctx context.Context, all bool) bool {
	spare := isFresh
	if all {
		spare = nil
	}
	done, err := p.prune(ctx, spare)
	if err != nil {
		p.log.Warn("images-not-pruned", "error", err.Error())
	}
	p.gone("disk pressure", done.Gone)
	return done.Freed > 0
}

// makeRoom serves somebody for whose image there was none, and tells whether another try
// is worth it.
func (p *pressure) makeRoom(ctx context.Context, err error) bool {
	return errors.Is(err, edge.ErrNoRoom) && p.dueAt(time.Now(), needAgain) && p.remove(ctx, false)
}

// dueAt tells whether images may be looked through again, and notes that they are.
func (p *pressure) dueAt(now time.Time, after time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.pruned.IsZero() && now.Sub(p.pruned) < after {
		return false
	}
	p.pruned = now
	return true
}

// isFresh spares what came lately, and what a clock that was put back says to come
// later.
func isFresh(i edge.Image) bool { return time.Since(i.Imported) < fresh }

// places measures what there is. Folders of one file system are one place; what cannot
// be measured is left out, as containerd's is until it has said where that is.
func (p *pressure) places(ctx context.Context) []place {
	var places []place
	add := func(folder string, holds bool) {
		s, err := p.look(folder)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				p.log.Warn("disk-not-measured", "error", err.Error())
			}
			return
		}
		if i := slices.IndexFunc(places, func(at place) bool { return at.device == s.device }); i >= 0 {
			places[i].holds = places[i].holds || holds
			return
		}
		places = append(places, place{folder, holds, s})
	}
	add(p.state, false)
	for _, folder := range p.containerdFolders(ctx) {
		add(folder, true)
	}
	return places
}

// foldersWithin bounds asking containerd, which may hang.
const foldersWithin = 3 * time.Second

func (p *pressure) containerdFolders(ctx context.Context) []string {
	p.mu.Lock()
	kept := p.kept
	p.mu.Unlock()
	if kept != nil {
		return kept
	}
	ctx, cancel := context.WithTimeout(ctx, foldersWithin)
	defer cancel()
	found, err := p.folders(ctx)
	if err != nil {
		return nil // it is away, or has not said yet
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = found
	return found
}

// Room tells whether so many bytes more of images may be written.
func (p *pressure) Room(need int64) error {
	for _, at := range p.places(context.Background()) {
		wanted := uint64(0)
		if at.holds {
			wanted = uint64(max(need, 0))
		}
		room, inodes := at.reserved(p.reserve)
		if at.free >= room+wanted && at.inodeFree >= inodes {
			continue
		}
		select {
		case p.hurry <- struct{}{}:
		default: // it is on its way
		}
		return edge.WithHint(fmt.Errorf("%w for images on %s: %s", edge.ErrNoRoom, at.folder, at.lacks(p.reserve, wanted)), remedyShort(at.folder))
	}
	return nil
}

// lacks says what is missing.
func (at place) lacks(reserve, wanted uint64) string {
	room, inodes := at.reserved(reserve)
	switch {
	case at.inodeFree < inodes:
		return fmt.Sprintf("%d of %d inodes are free, %d are kept", at.inodeFree, at.inodes, inodes)
	case wanted > 0:
		return fmt.Sprintf("%s are free, of which %s are kept, and at least %s are needed", bytesOf(at.free), bytesOf(room), bytesOf(wanted))
	}
	return fmt.Sprintf("%s of %s are free, %s are kept", bytesOf(at.free), bytesOf(at.total), bytesOf(room))
}

// bytesOf writes a size for people.
func bytesOf(n uint64) string {
	const step = 1024
	value, unit := float64(n), "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < step {
			break
		}
		value, unit = value/step, larger
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

func remedyShort(folder string) string {
	return "make room on " + folder + ": `holdfast images prune`, or remove what is not the node's; what runs keeps running"
}

// warn says how a file system stands. The words are those of when it came to that: a
// lasting condition is told once.
func (p *pressure) warn(at place, now squeeze) {
	detail := at.lacks(p.reserve, 0)
	if now == short {
		p.warnings.Raise(edge.Warning{Code: codeDiskShort, Subject: at.folder, Detail: detail + "; no image is let in", Remedy: remedyShort(at.folder)})
	} else {
		p.warnings.Clear(codeDiskShort, at.folder)
	}
	if now == tight || now == scarce {
		p.warnings.Raise(edge.Warning{
			Code: codeDiskTight, Subject: at.folder, Detail: detail,
			Remedy: "remove what is not needed from the file system of " + filepath.Clean(at.folder) + "; when it fills further, images that nothing needs are removed",
		})
	} else {
		p.warnings.Clear(codeDiskTight, at.folder)
	}
}
