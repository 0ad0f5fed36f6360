// Package desk is the operator's side of the link: what a person, or a service that
// stands by for a fleet, says to nodes and hears from them over any MQTT broker. It
// owns the view of who is there (Registry), the waiting for what nodes answer (Apply,
// Send), the live lines (Watch), the service (Attend), and the folder in which signed
// documents and the fleet's history are kept.
//
// # Promises
//
//   - Nothing of ours runs in the middle: nodes are known by the retained messages of
//     the broker, and a will that came late does not make a live node look gone where
//     anything else it said shows otherwise.
//   - The same command again is the same bytes again, so it has one effect. What never
//     reached a broker is not kept, and so cannot have an effect later.
//   - A policy that is older than what a node reports goes to nobody, and takes no newer
//     one's place in the folder, nor, unless that is wanted, at the broker.
//   - Attend confirms a number of a stream only after everything up to it lies in a
//     file and was flushed, or a gap record of the node says that it is lost.
//   - Whatever a broker or a node sends, nothing panics or waits without a bound, and
//     memory stays within an inbox of 16 MiB, 8 MiB on their way to the disk, and the
//     bounds of the registry. A damaged file of history is one node's trouble only.
//
// The desk believes what it hears: replies and reports are not signed by nodes, so the
// broker's access rules say who may speak for whom. What it says itself is signed.
//
// # Concurrency
//
// A Desk holds options only; each call connects for itself and returns after
// everything it started has ended. A Registry may be used from any goroutine. An
// attendance is one goroutine behind the session's.
//
// # Failure
//
// A broker that cannot be reached is edge.ErrUnavailable, at once; a connection lost
// later is made again until the call's own time is over. Attend ends with an error
// when history can no longer be written: what was not flushed was not confirmed.
//
// # Testing
//
// With nodes made of real sessions on the embedded broker and on mosquitto; the parts
// that think (Registry, stream, folder) alone, with oracles and fuzzing.
package desk
