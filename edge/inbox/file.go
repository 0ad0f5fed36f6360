package inbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/verdict"
)

// settleFile answers a file, or lets it follow the verdict that it has already.
func (b *Inbox) settleFile(ctx context.Context, e errand) (edge.Outcome, error) {
	if err := e.writable(); err != nil { // before anything is computed for nothing
		return 0, err
	}
	content, info, err := b.readAs(e.path())
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !e.isAsSeen(info):
		return 0, errOther
	case err != nil:
		return 0, err
	}
	if told, name := e.unfinished(verdict.Digest(content), info.ModTime()); name != "" { // by a process that ended in between
		return told.Outcome, e.move(folderOf(told.Outcome), name, info)
	}
	v, err := b.ask(ctx, e.trigger, content, e.name)
	if err != nil {
		return v.Outcome, err
	}
	v.Modified = info.ModTime()
	return v.Outcome, b.file(e, v, info)
}

// file keeps the verdict, and lets the file follow it.
func (b *Inbox) file(e errand, v verdict.Verdict, info fs.FileInfo) error {
	folder := folderOf(v.Outcome)
	name, err := b.claim(e, folder)
	if err != nil {
		return err
	}
	defer b.release(e.in(folder, name))
	if err := keep(e.in(folder, ""), name+ending, append(v.Encode(mostVerdict), '\n')); err != nil {
		return err
	}
	return e.move(folder, name, info)
}

func folderOf(outcome edge.Outcome) string {
	if outcome == edge.Completed {
		return doneFolder
	}
	return failedFolder
}

// isAsSeen tells whether the file is still the one that had stopped changing.
func (e errand) isAsSeen(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && info.Size() == e.seen.size && info.ModTime().Equal(e.seen.modified)
}

// writable tells whether the file can go where it will have to.
func (e errand) writable() error {
	for _, at := range []string{e.trigger.Dir, e.in(doneFolder, ""), e.in(failedFolder, "")} {
		if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot write to %q: %w", at, err)
		}
	}
	return nil
}

func (e errand) in(folder, name string) string { return filepath.Join(e.trigger.Dir, folder, name) }

// numbered is the name with a number before its ending; the first has none.
func (e errand) numbered(n int) string {
	if n == 1 {
		return e.name
	}
	extension := filepath.Ext(e.name)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(e.name, extension), n, extension)
}

// mostNamesakes is how many files of one name are told apart.
const mostNamesakes = 10_000

// told is what a verdict says of its file.
type told struct {
	File     string       `json:"file"`
	Digest   string       `json:"digest"`
	Modified time.Time    `json:"modified"`
	Outcome  edge.Outcome `json:"outcome"`
}

// unfinished finds a verdict of this very file, which has not followed it yet. Others without a file
// beside them are of files that somebody has taken away, or are no verdicts but files themselves.
func (e errand) unfinished(digest string, modified time.Time) (t told, name string) {
	for _, folder := range []string{doneFolder, failedFolder} {
		for n := 1; n <= mostNamesakes; n++ {
			name := e.numbered(n)
			if !exists(e.in(folder, name+ending)) {
				break
			}
			if exists(e.in(folder, name)) {
				continue
			}
			t, err := readTold(e.in(folder, name+ending))
			if err == nil && t.File == e.name && t.Digest == digest && t.Modified.Equal(modified) && folderOf(t.Outcome) == folder {
				return t, name
			}
		}
	}
	return told{}, ""
}

// mostTold is where a verdict's own words have ended for certain: an answer, which may be long, comes last.
const mostTold = 64 << 10

// readTold reads no more of a verdict than it needs.
func readTold(at string) (t told, err error) {
	f, err := os.OpenFile(at, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return t, err
	}
	defer f.Close()
	words := json.NewDecoder(bufio.NewReaderSize(io.LimitReader(f, mostTold), 1<<10))
	if _, err := words.Token(); err != nil {
		return t, err
	}
	fields := map[string]any{"file": &t.File, "digest": &t.Digest, "modified": &t.Modified, "outcome": &t.Outcome}
	for len(fields) > 0 && words.More() {
		key, err := words.Token()
		if err != nil {
			return t, err
		}
		field, wanted := fields[fmt.Sprint(key)]
		if !wanted {
			field = new(json.RawMessage)
		}
		if err := words.Decode(field); err != nil {
			return t, err
		}
		delete(fields, fmt.Sprint(key))
	}
	return t, nil
}

// claim finds a name that nothing of the folder has, nor anybody who is being answered beside. release
// gives it back.
func (b *Inbox) claim(e errand, folder string) (string, error) {
	for n := 1; n <= mostNamesakes; n++ {
		name := e.numbered(n)
		at := e.in(folder, name)
		if !b.reserve(at) {
			continue
		}
		if !exists(at) && !exists(at+ending) {
			return name, nil
		}
		b.release(at)
	}
	return "", edge.WithHint(fmt.Errorf("there are %d files named %q in %q already: %w", mostNamesakes, e.name, folder, edge.ErrExists),
		"take away what has been looked at, from done and failed")
}

// reserve takes the names of a file and of its verdict.
func (b *Inbox) reserve(at string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.claimed[at] || b.claimed[at+ending] {
		return false
	}
	b.claimed[at], b.claimed[at+ending] = true, true
	return true
}

func (b *Inbox) release(at string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.claimed, at)
	delete(b.claimed, at+ending)
}

func exists(at string) bool {
	_, err := os.Lstat(at)
	return err == nil
}

// keep puts the verdict on the disk: whole or not at all.
func keep(folder, name string, text []byte) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	draft := filepath.Join(folder, "."+name)
	f, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(draft, filepath.Join(folder, name)); err != nil {
		return err
	}
	return boltfile.RealDisk{}.SyncDir(folder)
}

// move lets the file follow its verdict. What came into its place meanwhile stays, for it is another task.
func (e errand) move(folder, name string, was fs.FileInfo) error {
	now, err := os.Lstat(e.path())
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && (!os.SameFile(now, was) || !now.ModTime().Equal(was.ModTime()) || now.Size() != was.Size()):
		return nil
	case err != nil:
		return err
	}
	if err := os.Rename(e.path(), e.in(folder, name)); err != nil {
		return err
	}
	return errors.Join(boltfile.RealDisk{}.SyncDir(e.in(folder, "")), boltfile.RealDisk{}.SyncDir(e.trigger.Dir))
}
