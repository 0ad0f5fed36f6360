package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/verdict"
)

// Where files go.
const (
	doneFolder   = "done"
	failedFolder = "failed"
	ending       = ".json" // of verdicts
)

// mostListed bounds one look at a folder.
const mostListed = 10_000

// list is what of a folder may be taken, the oldest first.
func list(t edge.Trigger) ([]fs.FileInfo, error) {
	folder, err := os.Open(t.Dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	entries, err := folder.ReadDir(mostListed)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var found []fs.FileInfo
	for _, entry := range entries {
		if fits, _ := path.Match(t.Glob, entry.Name()); !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".") || t.Glob != "" && !fits {
			continue
		}
		if info, err := entry.Info(); err == nil { // or it has just gone
			found = append(found, info)
		}
	}
	slices.SortFunc(found, func(a, b fs.FileInfo) int {
		if order := a.ModTime().Compare(b.ModTime()); order != 0 {
			return order
		}
		return strings.Compare(a.Name(), b.Name())
	})
	return found, nil
}

// answer has one file answered, and puts it where it belongs.
func (b *Inbox) answer(ctx context.Context, e errand) {
	outcome, err := b.settle(ctx, e)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Inside--
	e.turn.inside = false
	select {
	case b.left <- struct{}{}:
	default:
	}
	switch {
	case errors.Is(err, errLater):
		b.status.Again++
		e.turn.again()
	case err != nil:
		e.turn.again()
		b.reportLocked(place(e.trigger), err)
	case e.round != nil:
		e.turn.tries = 0
		b.clearLocked(place(e.trigger))
		b.status.Outcomes[outcome]++
	default:
		delete(b.known, e.path())
		b.status.Outcomes[outcome]++
	}
}

// again puts the next try off.
func (t *turn) again() {
	t.tries++
	t.next = time.Now().Add(pauseAfter(t.tries))
}

// errLater: the file stays where it is.
var errLater = errors.New("there is no room for it now")

// pauseAfter is when a file is tried again: after half a second, then twice that, up to a minute.
func pauseAfter(tries int) time.Duration {
	return min(time.Minute, 250*time.Millisecond<<min(tries, 8))
}

func (b *Inbox) settle(ctx context.Context, e errand) (edge.Outcome, error) {
	if e.round != nil {
		return b.settleRound(ctx, e.round)
	}
	if folder, name := e.unfinished(); folder != "" { // by a process that ended in between
		return edge.Completed, e.move(folder, name)
	}
	content, err := b.read(e.path())
	if err != nil {
		return 0, err
	}
	v, err := b.ask(ctx, e.trigger, content, e.name)
	if err != nil {
		return v.Outcome, err
	}
	folder := failedFolder
	if v.Outcome == edge.Completed {
		folder = doneFolder
	}
	name, err := e.freeName(folder)
	if err != nil {
		return v.Outcome, err
	}
	if err := keep(e.in(folder, ""), name+ending, append(v.Encode(mostVerdict), '\n')); err != nil {
		return v.Outcome, err
	}
	return v.Outcome, e.move(folder, name)
}

// mostVerdict is no bound that an answer meets.
const mostVerdict = 1 << 30

// ask turns the content into a task and waits for its end.
func (b *Inbox) ask(ctx context.Context, t edge.Trigger, content []byte, name string) (verdict.Verdict, error) {
	v := verdict.Verdict{Trigger: t.Source(), File: name, Model: t.Model, Class: t.Class}
	if int64(len(content)) > b.options.MaxBytes {
		v.Outcome, v.Reason = edge.Refused, verdict.ReasonTooLarge
		v.Detail = fmt.Sprintf("the file has more than %d bytes", b.options.MaxBytes)
		return v, nil
	}
	v.ID = verdict.Digest(content)
	within := time.Duration(t.Deadline)
	if within == 0 {
		within = b.options.DefaultDeadline(t.Class)
	}
	request, err := verdict.Read(content, t.Model, b.options.Models)
	var task edge.Task
	if err == nil {
		task, err = request.Task(t, within, time.Now())
	}
	if isLater(err) {
		return v, errLater
	}
	if err != nil {
		b.unfit()
		v.Refuse(err)
		return v, nil
	}
	if request.Parsed.ID != "" {
		v.ID = request.Parsed.ID
	}
	task.ID = b.nextID()
	v.Task, v.Class, v.DeadlineMS = task.ID, task.Class, verdict.Of(within)
	s := b.options.Tasks.Infer(ctx, task)
	if s.Outcome == edge.Cancelled || (s.Outcome == edge.Refused || s.Outcome == edge.Evicted) && isLater(s.Err) {
		return v, errLater
	}
	v.Settle(s)
	return v, nil
}

// isLater tells what passes by itself from what will be said again.
func isLater(err error) bool {
	refusal, refused := edge.AsRefusal(err)
	return refused && refusal.Reason != edge.ReasonDenied && refusal.Reason != edge.ReasonDeadlinePassed
}

// read follows no link, whatever became of the file since it was listed.
func (b *Inbox) read(at string) ([]byte, error) {
	f, err := os.OpenFile(at, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, b.options.MaxBytes+1))
}

func (b *Inbox) unfit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Unfit++
}

func (b *Inbox) nextID() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.number++
	return fmt.Sprintf("%s-%d", b.prefix, b.number)
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

// unfinished finds a verdict whose file has not followed it yet. Where both are there they are a namesake's.
func (e errand) unfinished() (folder, name string) {
	for _, folder := range []string{doneFolder, failedFolder} {
		for n := 1; n <= mostNamesakes; n++ {
			name := e.numbered(n)
			if !exists(e.in(folder, name+ending)) {
				break
			}
			if !exists(e.in(folder, name)) {
				return folder, name
			}
		}
	}
	return "", ""
}

// freeName is one that nothing of the folder has.
func (e errand) freeName(folder string) (string, error) {
	for n := 1; n <= mostNamesakes; n++ {
		if name := e.numbered(n); !exists(e.in(folder, name)) && !exists(e.in(folder, name+ending)) {
			return name, nil
		}
	}
	return "", fmt.Errorf("there are %d files named %q in %q already: %w", mostNamesakes, e.name, folder, edge.ErrExists)
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

// move lets the file follow its verdict.
func (e errand) move(folder, name string) error {
	if err := os.Rename(e.path(), e.in(folder, name)); err != nil {
		return err
	}
	return errors.Join(boltfile.RealDisk{}.SyncDir(e.in(folder, "")), boltfile.RealDisk{}.SyncDir(e.trigger.Dir))
}
