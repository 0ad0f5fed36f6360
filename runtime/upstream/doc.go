// Package upstream asks servers elsewhere to answer tasks: any that speaks the Open Inference
// Protocol over HTTP, another node among them.
//
// # Promises
//
//   - Ask returns when its context ends, whatever the network does, and within Timeout in
//     any case. What comes back as an answer is one of the protocol, read whole.
//   - An upstream that has failed so many times in a row is not asked for a while: its breaker is
//     open, and Ask says no at once. Whether it is back is found out by asking for its health, and by
//     batch tasks; no urgent or normal task is spent on it.
//   - A task that its caller gave up says nothing about the upstream. One that was not answered in
//     time does.
//   - An input goes nowhere but to the upstream its model's route names, and to no place that one
//     redirects to.
//
// # Concurrency
//
// Ask may be called from any goroutine. Routes swaps what it asks by at once; attempts under
// way end as they began. Run alone starts goroutines.
//
// # Failure
//
// Errors wrap edge.ErrUnavailable (it cannot be reached, or its breaker is open), edge.ErrDeadline,
// edge.ErrCancelled, edge.ErrInvalid (it refused the input) or edge.ErrModel (it failed, or what it said is
// no answer). A no that says when to come back is a *edge.Refusal.
//
// # Testing
//
// Against servers on the loopback that refuse, reset, stall, drip, lie, redirect and whose certificate has
// expired, and in virtual time for what the breaker does and when.
package upstream
