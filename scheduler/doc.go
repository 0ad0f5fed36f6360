// Package scheduler decides which inference task runs when, and tells early
// those for which there is no room.
//
// It owns the queue, the admission test, the plan, the service-time estimates
// and the settlement of every task. It promises that
//
//   - a task is refused at once when it would miss its deadline, with a deadline that
//     would have been accepted;
//   - where not everything fits, the task goes that frees the most for the least promised:
//     batch before normal, then the longest. It may be one that was accepted before, and is
//     told at that moment. Firm tasks, the urgent ones if the rules say nothing else, never
//     give way;
//   - an accepted task that can no longer make it is told at that moment, not at
//     its deadline;
//   - where the executor can suspend, what runs gives way to what would otherwise be late,
//     and goes on after it;
//   - a tenant gets no more tasks in than its rate and burst, in any span of time,
//     and is told exactly when to ask again;
//   - a change of the rules (see Rules) tells at once those that wait and are not
//     allowed any more, and costs nobody else a place;
//   - every submitted task settles exactly once, and the counts add up.
//
// The decisions are made by a pure core (core.go, plan.go, outlook.go) that knows neither
// goroutines nor clocks: each event comes with its instant, and the same events
// give the same decisions byte for byte. See DESIGN.md.
//
// # Concurrency
//
// All methods of Scheduler may be called from any goroutine, but not from inside
// Options.Settled. One goroutine, the loop inside Run, owns the state; everything
// else sends it messages. For each task that may have started at once a goroutine executes
// one task after another, one more suspends and resumes, and Run returns after all of
// them have ended.
//
// # Failure
//
// An executor that returns an error or panics fails its own task only. A task
// that runs past its deadline is settled there, but keeps its slot and lane until
// the executor really returns, so that capacity is never promised twice. A run
// past its estimate is estimated anew and planned anew.
//
// # Testing
//
// The core is driven through virtual time and compared with brute force; the loop
// runs in testing/synctest bubbles with an executor whose durations are knobs.
package scheduler
