// Package oneshot runs the tasks of tools that are no servers: a container for each task,
// out of a pool of those that stand ready.
//
// It owns what is between a task and such a container: how many stand ready, which task
// gets which, how long it may run, and what becomes of what it wrote. It does not own the
// containers themselves: runtime/containerd makes them, behind Driver.
//
// # Promises
//
//   - A container runs one task, once, and nothing of it is left for the next.
//   - Execute returns when its container is dead, so the capacity it used is free. It is
//     killed at the task's deadline, and when the time is up that its workload gives a task.
//   - Never more tasks of a workload are at work than it has replicas, and never more
//     containers stand ready than it lets. One does while it is wanted; as many more as
//     tasks have come together lately, within the last minute.
//   - Containers are made and taken away in the background, one at a time for each workload,
//     and not while tasks want every core, for a second at most. A task that finds none ready
//     has one made in its own time, and one that finds many dead ones takes its own away: so
//     what a task costs is what the scheduler measures.
//   - What an earlier agent left is taken away before the first task runs. What it had at work
//     when it died is so never at work twice.
//   - Another version of a workload replaces what stands ready, and never what is at work.
//
// # Concurrency
//
// One mutex guards all pools; nothing slow is done under it. Run is the only loop; what takes
// time runs in goroutines of its own, which end before Run does. All other methods are safe
// for any number of callers; only Execute takes time.
//
// # Failure
//
// While the daemon is away no task can be run: those that come wait for it until their
// deadlines. A container that cannot be made is tried again, from a quarter of a second up to
// half a minute apart, and meanwhile the model is not ready. One that cannot be taken away is
// tried until it can, and told of.
//
// # Testing
//
// In virtual time (testing/synctest) on a driver of the test's own with knobs for what it
// takes and how it fails. The driver for real has tests on a real containerd.
package oneshot
