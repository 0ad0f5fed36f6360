// Package sim runs the scheduler, and the orders it is compared with, in virtual
// time.
//
// It owns the mix of tasks, the arrival processes, the simulated machine, the bound on
// what any scheduler could have kept, and the plot. Nothing of the scheduler is modelled, nor of the
// simple orders: Plan drives scheduler.Engine, which is the very core the agent runs.
//
// A simulation is a pure function of its parameters and seed: the same ones give
// the same figures on any machine.
//
// # Concurrency
//
// Nothing here starts goroutines; every function may be called from several.
//
// # Failure
//
// Wrong parameters and unreadable traces are errors that wrap edge.ErrInvalid.
//
// # Testing
//
// The bound is compared with brute force on small cases, the orders with schedules
// worked out by hand, and the machine's books with what was submitted.
package sim
