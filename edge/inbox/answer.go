package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/verdict"
)

// Where files go.
const (
	doneFolder   = "done"
	failedFolder = "failed"
	ending       = ".json" // of verdicts
)

// mostListed bounds what one look at a folder finds, and mostLooked what else may lie there.
const (
	mostListed = 10_000
	mostLooked = 100_000
)

// list is what of a folder may be taken, the oldest first.
func list(t edge.Trigger) ([]fs.FileInfo, error) {
	folder, err := os.Open(t.Dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	var found []fs.FileInfo
	for looked := 0; looked < mostLooked && len(found) < mostListed; looked += mostListed {
		entries, err := folder.ReadDir(mostListed)
		for _, entry := range entries {
			if fits, _ := path.Match(t.Glob, entry.Name()); !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".") || t.Glob != "" && !fits {
				continue
			}
			if info, err := entry.Info(); err == nil { // or it has just gone
				found = append(found, info)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
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
		if e.seen != nil {
			e.seen.failed, e.seen.refused = nil, err
		}
	case errors.Is(err, errOther):
		delete(b.known, e.path())
	case err != nil && e.round != nil:
		e.turn.again()
		b.reportLocked(place(e.trigger), err)
	case err != nil:
		e.turn.again()
		e.seen.failed, e.seen.refused = err, nil // the next look tells
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

var (
	// errLater: the file stays where it is.
	errLater = errors.New("there is no room for it now")
	// errOther: it is not the file that was seen any more, or there is none.
	errOther = errors.New("it has changed since it was seen")
)

// pauseAfter is when a file is tried again: after half a second, then twice that, up to a minute.
func pauseAfter(tries int) time.Duration {
	return min(time.Minute, 250*time.Millisecond<<min(tries, 8))
}

func (b *Inbox) settle(ctx context.Context, e errand) (edge.Outcome, error) {
	if e.round != nil {
		return b.settleRound(ctx, e.round)
	}
	return b.settleFile(ctx, e)
}

// mostVerdict is no bound that an answer meets.
const mostVerdict = 1 << 30

// ask turns the content into a task and waits for its end.
func (b *Inbox) ask(ctx context.Context, t edge.Trigger, content []byte, name string) (verdict.Verdict, error) {
	v := verdict.Verdict{Trigger: t.Source(), File: name, Model: t.Model, Class: t.Class, Digest: verdict.Digest(content)}
	if int64(len(content)) > b.options.MaxBytes {
		v.Outcome, v.Reason = edge.Refused, verdict.ReasonTooLarge
		v.Detail = fmt.Sprintf("the file has more than %d bytes", b.options.MaxBytes)
		return v, nil
	}
	v.ID = v.Digest
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
		return v, fmt.Errorf("%w: %w", errLater, err)
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
	if isPutOff(s) {
		return v, fmt.Errorf("%w: %w", errLater, s.Err)
	}
	v.Settle(s)
	return v, nil
}

// isPutOff tells whether the task is to be asked again: nobody has looked at it.
func isPutOff(s edge.Settlement) bool {
	switch s.Outcome {
	case edge.Cancelled:
		return true
	case edge.Refused, edge.Evicted:
		return isLater(s.Err)
	case edge.Failed: // its upstream, or every instance, is away
		return errors.Is(s.Err, edge.ErrUnavailable)
	}
	return false
}

// isLater tells what passes by itself from what will be said again.
func isLater(err error) bool {
	refusal, refused := edge.AsRefusal(err)
	return refused && refusal.Reason != edge.ReasonDenied && refusal.Reason != edge.ReasonDeadlinePassed
}

// read follows no link, whatever became of the file since it was listed.
func (b *Inbox) read(at string) ([]byte, error) {
	content, _, err := b.readAs(at)
	return content, err
}

// readAs also tells which file it was.
func (b *Inbox) readAs(at string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(at, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, b.options.MaxBytes+1))
	return content, info, err
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
