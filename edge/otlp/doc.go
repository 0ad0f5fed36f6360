// Package otlp tells a collector of OpenTelemetry which tasks the node has worked on, and for
// how long.
//
// # What it owns
//
// The spans that wait, their encoding as OTLP's JSON, and the connection to the collector. It
// is told of settlements; which of them are sampled was decided when their traces began.
//
// # Promise
//
// Telling it of a task takes a lock and a copy, whatever the collector does. No more than
// kept tasks wait; those beyond are dropped and counted, as are those that the collector will
// not have. Of inputs and answers nothing is sent, nor what a model says of them.
//
// # Concurrency
//
// Settled and Report may be called by any goroutine; Run is the only one that sends.
//
// # Failure
//
// A collector that does not answer, or has no room, is asked again with pauses that grow, and
// keeps the tasks waiting; one that will not have a batch loses it. Either is a warning from
// the third time in a row on, and until a batch is taken.
//
// # Testing
//
// A collector of the tests' own, which reads what it gets as the protocol's JSON mapping has
// it, and others that are slow, full, closed, or no collector.
package otlp
