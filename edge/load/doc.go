// Package load is an open-loop load generator for a running agent, in the manner of
// the server scenario of MLPerf inference benchmarks; its figures are no results of theirs.
//
// It owns the kinds of tasks it sends, the instants it sends them at, what it measures
// of each, and the report. Arrivals, mixes of tasks and the bound on what anybody could
// have kept are those of the simulator (scheduler/sim).
//
// # Promise
//
// The generator never waits for the agent: a task is sent at its scheduled instant,
// however many are open. Latency counts from that instant and the deadline stands there
// too, so that a generator that is late is charged to the system, and how late it was
// is in the report. The same seed gives the same tasks at the same instants.
//
// What the machine did beside the agent, its models and the generator is measured and
// reported. Where figures should not be quoted, the report says why.
//
// # Concurrency
//
// A Generator belongs to one goroutine; each open task has one of its own, and all have
// ended when Run returns.
//
// # Failure
//
// What is wrong with the options wraps edge.ErrInvalid, an agent that does not answer
// edge.ErrUnavailable. A task that fails is counted, and fails no run.
//
// # Testing
//
// Against agents that answer what a test wants them to, on real sockets; the figures of
// confidence against published ones.
package load
