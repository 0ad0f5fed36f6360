// Package runtime keeps what should run running, and asks the models that do.
//
// It owns the supervisor (desired workloads against running instances), the
// seam to a container runtime (Driver) and the client side of the Open Inference
// Protocol. It does not own the containers themselves: runtime/containerd does.
//
// # Promises
//
//   - Ending Run never stops an instance. The next agent adopts what runs, by the
//     workload and spec hash the driver reads from its labels.
//   - Until the first Apply nothing is removed: an unknown desired set is not an
//     empty one.
//   - A workload never has more instances over its replicas than it lets be replaced at
//     a time, which is one unless it says otherwise, and none where old ones go first.
//   - An instance that ends is replaced at once the first time, then with jittered
//     backoff, for ever; what keeps failing is a warning that says why.
//   - A new version that fails gives way to the last good one, if there is one that may
//     run, also when the agent or the machine is ended in the midst of it; it is not tried
//     again until it is another or somebody asks.
//   - What a version on trial fails is answered by the one before while that is there.
//   - Whoever depends on others is first started when they are there, and what is taken
//     away with what depends on it goes after that.
//   - What ended unseen, in a power cut for example, is started again whatever its
//     restart policy: only an end that was seen may end the work for good.
//   - Execute returns only when the capacity it used is free again, so whoever
//     counts lanes counts what is true.
//   - An instance that Suspend halts goes on by Resume, or as soon as anything else is
//     done to it; the end of its task or of Run leaves none halted.
//
// # Concurrency
//
// One goroutine, the one in Run, owns all state and takes every decision; others
// post messages to it and never block. Slow calls run in goroutines of their own,
// one per call, and each instance has one that waits for its end, one per question it
// is asked and, when it is a model server, one that probes it. Execute, Suspend, Resume, Model, Models and Workloads are safe
// for any number of callers and never wait for the loop. The callbacks of Options
// are called from the loop with no lock held; they must not block, and must not
// call Restart.
//
// # Failure
//
// While the daemon is away nothing is started or removed, and what runs goes on
// answering tasks. When it is back everything is listed anew and compared. A
// model that hangs, lies or stays silent costs its own instance a restart and
// nobody else anything.
//
// # Testing
//
// Decisions are pure functions (plan, restart record) under table tests. The loop
// runs on runtime/fake, in virtual time over in-memory connections and in real
// time over real sockets.
package runtime
