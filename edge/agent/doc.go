// Package agent is the hall of holdfast: it builds, opens, runs and stops every
// room, and is the only place where rooms meet. Each room declares the few
// methods it needs of others; the adapters here supply them.
//
// # Promise
//
// The agent is up, and answers, whether or not containerd is. Its end, asked for
// or not, never ends a workload.
//
// # Concurrency
//
// Run starts every room in order and stops them in reverse, each fully ended
// before the next. What the rooms share through the hall (journal, warnings, the
// latest tasks) guards itself.
//
// # Failure
//
// What makes starting useless (a state folder held by another agent, no socket
// to listen on) is an error. Everything else is a warning, and the agent runs.
//
// # Testing
//
// The parts are tested here with plain values; the whole is tested from outside,
// over real containerd, by build/e2e and the scripts of the binary.
package agent
