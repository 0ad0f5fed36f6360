package agent

import (
	"slices"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/scheduler"
)

// What is told of tasks at once, however many there are.
const (
	liveWaiting = 100
	liveEnded   = 200
)

var _ localapi.Live = live{}

// live lets the local API show what changes by the second.
type live struct{ *Agent }

// Samples lists the node's latest samples.
func (l live) Samples(after uint64) ([]edge.Sample, uint64) { return l.history.Samples(after) }

// LiveTasks are the tasks now, and those that have ended since.
func (l live) LiveTasks(since localapi.TaskMark) (edge.LiveTasks, localapi.TaskMark) {
	// Ended first: what ends between the two is told of the next time, and not twice now.
	ended, total := l.recent.Since(since.Ended, liveEnded)
	tasks := l.scheduler.Glance(liveWaiting)
	now := localapi.TaskMark{Changes: l.pulse.of(tasks), Ended: total}
	if now == since {
		return edge.LiveTasks{}, now
	}
	skipped := 0
	if since != (localapi.TaskMark{}) {
		skipped = unseen(total, since.Ended) - len(ended)
	}
	return edge.LiveTasks{
		At: time.Now(), Running: tasks.Running, Waiting: tasks.Waiting,
		WaitingTotal: tasks.Report.Waiting + tasks.Report.Away,
		Ended:        ended, EndedSkipped: skipped,
	}, now
}

// pulse counts the changes of what runs and waits.
type pulse struct {
	mu      sync.Mutex // guards what follows
	changes uint64
	running []edge.TaskView
	rest    [4]uint64
}

// of is how many changes there have been, those of the snapshot among them.
func (p *pulse) of(s scheduler.Snapshot) uint64 {
	rest := [4]uint64{uint64(s.Report.Waiting), uint64(s.Report.Away), uint64(s.Report.Held)}
	for _, class := range s.Report.Classes {
		rest[3] += class.Submitted
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changes == 0 || rest != p.rest || !slices.EqualFunc(s.Running, p.running, sameRun) {
		p.changes++
	}
	p.running, p.rest = s.Running, rest
	return p.changes
}

// sameRun tells whether a task stands as it stood.
func sameRun(a, b edge.TaskView) bool {
	return a.ID == b.ID && a.State == b.State && a.Slot == b.Slot
}
