package filetest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/edge/boltfile"
)

// Step is one entry of the journal.
type Step struct {
	kind kind
	name string // of a file, or of the folder that is synced
	to   string // of a rename or link
	at   int
	data []byte
	size int    // of the file, when it changes size
	v    uint64 // of start and acknowledge
}

type kind int

const (
	create kind = iota
	resize
	write
	syncFile
	rename
	link
	remove
	syncDir
	start
	acknowledge
)

// IsSync tells whether the step makes a file last whose name begins so.
func (s Step) IsSync(name string) bool { return s.kind == syncFile && strings.HasPrefix(s.name, name) }

// IsSyncDir tells whether the step makes names last.
func (s Step) IsSyncDir() bool { return s.kind == syncDir }

// Recorder is the real disk, writing down what is done to it in one folder, or in those
// below Root.
type Recorder struct {
	boltfile.RealDisk
	Path  string // of the database; empty: there is none
	Root  string // of several folders; empty: all files are in one
	steps []Step
	known []byte // the database as last recorded
}

var _ boltfile.Disk = (*Recorder)(nil)

// Journal is what was written down.
func (r *Recorder) Journal() []Step { return r.steps }

// Start notes that the code under test is about to make a version last: it may be found
// from here on.
func (r *Recorder) Start(v uint64) { r.log(Step{kind: start, v: v}) }

// Acknowledge notes that the code under test said that a version will last: nothing
// below it may be found from here on.
func (r *Recorder) Acknowledge(v uint64) { r.log(Step{kind: acknowledge, v: v}) }

func (r *Recorder) log(s Step) { r.steps = append(r.steps, s) }

// name is what the journal calls a file.
func (r *Recorder) name(path string) string {
	if r.Root == "" {
		return filepath.Base(path)
	}
	return strings.TrimPrefix(path, r.Root+"/")
}

// Create makes a file and records what is written to it.
func (r *Recorder) Create(name string) (boltfile.DiskFile, error) {
	file, err := r.RealDisk.Create(name)
	r.log(Step{kind: create, name: r.name(name)})
	return &recordedFile{file, r, r.name(name), 0}, err
}

// Overwrite opens a file that is there and records what is written to it, from its
// beginning on.
func (r *Recorder) Overwrite(name string) (boltfile.DiskFile, error) {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return &recordedFile{file, r, r.name(name), 0}, nil
}

// Found notes what is below Root already, as lasting.
func (r *Recorder) Found() error {
	folders := []string{}
	err := filepath.WalkDir(r.Root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			folders = append(folders, path)
			return err
		}
		content, err := os.ReadFile(path)
		r.log(Step{kind: create, name: r.name(path)})
		r.log(Step{kind: write, name: r.name(path), data: content})
		r.log(Step{kind: syncFile, name: r.name(path)})
		return err
	})
	for _, folder := range folders {
		r.log(Step{kind: syncDir, name: r.folder(folder)})
	}
	return err
}

// Rename renames a file. A database that was made beside is recorded here at the
// latest.
func (r *Recorder) Rename(from, to string) error {
	if to == r.Path {
		r.adopt(from)
	}
	r.log(Step{kind: rename, name: r.name(from), to: r.name(to)})
	return r.RealDisk.Rename(from, to)
}

// adopt takes a file for the database from now on.
func (r *Recorder) adopt(from string) {
	r.known = nil
	if strings.HasSuffix(from, ".new") { // bbolt wrote it
		r.log(Step{kind: create, name: filepath.Base(from)})
		r.commit(from)
		return
	}
	r.known, _ = os.ReadFile(from) // written through this recorder; the rename says if it is not there
}

// Link gives a file a second name.
func (r *Recorder) Link(from, to string) error {
	err := r.RealDisk.Link(from, to)
	if err == nil {
		r.log(Step{kind: link, name: r.name(from), to: r.name(to)})
	}
	return err
}

// Remove removes a file.
func (r *Recorder) Remove(name string) error {
	err := r.RealDisk.Remove(name)
	if err == nil {
		r.log(Step{kind: remove, name: r.name(name)})
	}
	return err
}

// SyncDir syncs the folder.
func (r *Recorder) SyncDir(name string) error {
	r.log(Step{kind: syncDir, name: r.folder(name)})
	return r.RealDisk.SyncDir(name)
}

// folder is what the journal calls a folder: "." is the one of files without another.
func (r *Recorder) folder(name string) string {
	if r.Root == "" || name == r.Root {
		return "."
	}
	return r.name(name)
}

// Commit records what bbolt changed in the database since the last time. It is to be
// called after each commit, for it takes what it finds for one.
func (r *Recorder) Commit() { r.commit(r.Path) }

func (r *Recorder) commit(path string) {
	content, err := os.ReadFile(path)
	if err != nil || bytes.Equal(content, r.known) {
		return
	}
	name, page := filepath.Base(path), os.Getpagesize()
	if len(content) != len(r.known) {
		r.log(Step{kind: resize, name: name, size: len(content)})
		r.log(Step{kind: syncFile, name: name})
	}
	before := make([]byte, len(content))
	copy(before, r.known)
	writeAll := func(from, to int) {
		for at := from; at < to; at += page {
			if !bytes.Equal(before[at:at+page], content[at:at+page]) {
				r.log(Step{kind: write, name: name, at: at, data: content[at : at+page]})
			}
		}
		r.log(Step{kind: syncFile, name: name})
	}
	writeAll(2*page, len(content))
	writeAll(0, 2*page)
	r.known = content
}

type recordedFile struct {
	boltfile.DiskFile
	to   *Recorder
	name string
	at   int
}

// Write records what is written.
func (f *recordedFile) Write(p []byte) (int, error) {
	f.to.log(Step{kind: write, name: f.name, at: f.at, data: slices.Clone(p)})
	f.at += len(p)
	return f.DiskFile.Write(p)
}

// Sync records that it was called.
func (f *recordedFile) Sync() error {
	f.to.log(Step{kind: syncFile, name: f.name})
	return f.DiskFile.Sync()
}
