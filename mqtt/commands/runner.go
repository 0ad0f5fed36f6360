package commands

import (
	"context"
	"slices"
	"sync"

	"holdfast/edge"
	"holdfast/edge/trust"
	"holdfast/mqtt/journal"
)

// Runner carries out commands.
type Runner struct {
	options Options
	wake    chan struct{} // capacity 1: Run has something to look at
	verify  *bucket
	answers *bucket
	reports *bucket

	resume sync.Once

	mu sync.Mutex // guards all below; never held while anything is waited for

	jobs       map[string]*job // by the command's id, waiting and running
	waiting    []*job          // in the order they came
	running    map[lane]int
	issuers    map[string]bool // those with a job of laneOrdered that runs
	superseded []string        // ids that were superseded before they came
	rootSeen   uint64          // version by which the issuers were pruned
	counts     Counts
}

// Counts are of this run.
type Counts struct {
	Taken    uint64 `json:"taken"`
	Repeated uint64 `json:"repeated"` // came again, and had been taken
	Refused  uint64 `json:"refused"`  // was not taken
	Silenced uint64 `json:"silenced"` // of those, and of the repeated: not answered, for want of rate
	Finished uint64 `json:"finished"`
}

// Status is the runner at one moment.
type Status struct {
	Waiting int    `json:"waiting"`
	Running int    `json:"running"`
	Counts  Counts `json:"counts"`
}

// Status tells how the runner is.
func (r *Runner) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Status{Waiting: len(r.waiting), Running: len(r.jobs) - len(r.waiting), Counts: r.counts}
}

// lane is where a job waits for its turn. No lane waits for another.
type lane int

const (
	laneLight   lane = iota // looks at something, or cancels
	laneOrdered             // changes something soon; one of an issuer after the other
	laneLong                // takes its time
)

// laneRoom is how many of a lane run at once: as many as a small device has cores.
const laneRoom = 4

func laneOf(verb edge.Verb) lane {
	switch verb {
	case edge.VerbRefresh, edge.VerbVitals, edge.VerbLogs, edge.VerbCancel:
		return laneLight
	case edge.VerbPull, edge.VerbImport, edge.VerbPrune, edge.VerbInfer, edge.VerbExec, edge.VerbDrain, edge.VerbDiagnose, edge.VerbUpdate, edge.VerbUpdateSystem:
		return laneLong
	}
	return laneOrdered
}

// looks tells whether a verb changes nothing, so that it needs no memory.
func looks(verb edge.Verb) bool {
	switch verb {
	case edge.VerbRefresh, edge.VerbVitals, edge.VerbLogs, edge.VerbDiagnose:
		return true
	}
	return false
}

// job is a command on its way.
type job struct {
	command edge.Command
	lane    lane
	boots   int         // of the machine since it was taken
	redo    bool        // it was started before a restart
	verdict *edge.Reply // it is final, and only has to be said
	unkept  bool        // the journal knows nothing of it
	done    chan struct{}

	// Guarded by the runner's mu.
	target *job                    // the one it supersedes, if that was here
	turn   bool                    // it is no longer waiting
	by     string                  // id of the command that supersedes it
	cancel context.CancelCauseFunc // while it runs
}

func newJob(c edge.Command) *job {
	return &job{command: c, lane: laneOf(c.Verb), done: make(chan struct{})}
}

// recover takes up what an earlier run has left.
func (r *Runner) recover() {
	for _, left := range r.options.Journal.Unfinished() {
		j := newJob(left.Command)
		j.boots = left.Boots
		if left.Stage == edge.StageStarted {
			j.redo = true
			j.verdict = afterCrash(left)
		}
		r.enqueue(j)
	}
}

// afterCrash decides about a command that was started; nil: it is begun again.
func afterCrash(left journal.Open) *edge.Reply {
	said := &edge.Reply{Command: left.Command.ID}
	switch {
	case left.Command.Verb == edge.VerbReboot && left.SinceBegun > 0:
		said.Stage, said.Detail = edge.StageSucceeded, "the machine has booted since"
	case edge.Verbs()[left.Command.Verb].Repeatable:
		return nil
	default:
		said.Stage, said.Reason = edge.StageIndeterminate, "interrupted"
		said.Detail = "the agent ended while it was carried out, and the verb must not be repeated"
	}
	return said
}

// enqueue lets a job wait for its turn, and ends the one that it supersedes.
func (r *Runner) enqueue(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := j.command.ID
	if _, known := r.jobs[id]; known {
		return
	}
	r.jobs[id] = j
	r.waiting = append(r.waiting, j)
	if slices.Contains(r.superseded, id) {
		j.supersedeLocked("another command")
	}
	if target := j.command.Supersedes; target != "" && j.verdict == nil {
		j.target = r.supersedeLocked(target, id)
	}
	r.nudge()
}

func (r *Runner) supersedeLocked(target, by string) *job {
	if j, found := r.jobs[target]; found {
		j.supersedeLocked(by)
		return j
	}
	r.superseded = append(r.superseded, target)
	if len(r.superseded) > maxSuperseded {
		r.superseded = r.superseded[1:]
	}
	return nil
}

// supersedeLocked ends a job: one that waits has nothing to wait for any longer.
func (j *job) supersedeLocked(by string) {
	if j.by == "" {
		j.by = by
	}
	if j.cancel != nil {
		j.cancel(errSuperseded)
	}
	if !j.turn {
		j.lane = laneLight
	}
}

func (r *Runner) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run carries out commands until it is told to stop, and all effects have ended.
func (r *Runner) Run(ctx context.Context) error {
	r.resume.Do(r.recover)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		for j := r.next(); j != nil; j = r.next() {
			wg.Go(func() {
				r.carry(ctx, j)
				r.ended(j)
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
	}
}

// next is a job whose turn it is.
func (r *Runner) next() *job {
	r.mu.Lock()
	defer r.mu.Unlock()
	blocked := map[string]bool{}
	for i, j := range r.waiting {
		issuer, ordered := j.command.Issuer, j.lane == laneOrdered
		if r.running[j.lane] >= laneRoom || ordered && (r.issuers[issuer] || blocked[issuer]) {
			blocked[issuer] = blocked[issuer] || ordered
			continue
		}
		r.waiting = slices.Delete(r.waiting, i, i+1)
		r.running[j.lane]++
		j.turn = true
		if ordered {
			r.issuers[issuer] = true
		}
		return j
	}
	return nil
}

// ended makes room. The lane of a job that runs does not change.
func (r *Runner) ended(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[j.lane]--
	if j.lane == laneOrdered {
		delete(r.issuers, j.command.Issuer)
	}
	delete(r.jobs, j.command.ID)
	close(j.done)
	r.nudge()
}

// prune has the journal forget issuers that a new root no longer names. What fails is
// tried with the next command.
func (r *Runner) prune(ctx context.Context, root *trust.Root) {
	r.mu.Lock()
	same := root == nil || root.Version == r.rootSeen
	r.mu.Unlock()
	if same || r.options.Journal.KeepIssuers(ctx, root.Version, root.Roles[trust.RoleCommand].KeyIDs) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rootSeen = root.Version
}
