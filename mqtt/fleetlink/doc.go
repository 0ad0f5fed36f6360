// Package fleetlink owns what a node says to its fleet, and hears from it, over one
// session of MQTT: birth and death, hello and freshness, state and its changes,
// policies and commands, and the streams of what happened.
//
// # Promises
//
//   - A connection begins with birth, hello and state, in that order, without waiting
//     for an answer in between; then come replies, then the rest.
//   - An entry leaves its stream when the fleet's signed confirmation covers it. Of a
//     fleet that has never confirmed anything it leaves when the broker acknowledged
//     it, and all before it.
//   - What the broker acknowledged and the fleet did not confirm is sent again: all of
//     it on a connection where the broker has forgotten us; otherwise the first of it
//     after 10 minutes, then after twice as long up to 6 hours, and all of it as soon
//     as the fleet shows what it lacks. A confirmation of nothing new shows that.
//   - A policy or command is acknowledged to the broker when it was taken or refused
//     for good, never before, and never left to come again for ever. Commands are taken
//     in the order in which the broker sends them. What there was no room for comes again
//     by itself, on another connection: at once when half of the room is free, and ever
//     more seldom, up to 5 minutes, while that goes on.
//   - History takes at most half of the link's time, and waits while the month has no
//     bytes left. Replies, births, hellos and states do not wait, but states come
//     seldom then. What happens now is not slowed down. A reply that is not kept goes
//     ahead of what waits, and comes again in its place.
//   - The retained presence names the session that is up: when a late will has
//     overwritten it, it is said again.
//   - Memory is bounded by the session's window and inbox, a batch of each stream,
//     8 policies and 64 commands. The same message waits once, whoever repeats it.
//
// State is told whole with a version of 1, then in merge patches (mqtt.Merge) from one
// version to the next, both under the session in which it was told whole; a patch for
// another session or version is of no use, and the next whole state is at most a
// minute away.
//
// # Concurrency
//
// Run alone starts goroutines, and returns after all have ended. Everything else may be
// called from any goroutine. No lock is held across a call to a stream, to the session,
// or to what Options hold. State and Birth are asked on goroutines of the link and must
// not wait for it.
//
// # Failure
//
// Confirmations and answers to hellos are looked at 20 times a second each, and 100 more
// at once; the rest is dropped. A clock that was months ahead for a moment does not stop
// the count of the month's bytes; one that is a month ahead is believed.
//
// Without a link everything waits where it is. A stream that cannot be read is tried
// again. Why there is no link is in Status; what lasts and wants a person is a
// warning. Whatever comes from the broker is refused, counted and acknowledged when it
// is of no use.
//
// # Testing
//
// world_test.go plays nodes, a broker and a fleet in virtual time, with the real
// session between, and holds what comes out against an oracle; each of its rules has a
// control that must break it.
package fleetlink
