// Package release brings a signed release of the agent onto the node: the document and, in
// pieces, the one program of it that fits the machine.
//
// # What it owns
//
// The way from a release folder (on a web server, or at hand on a stick) to bytes that are
// what the document says. Whether the document is believed is edge/trust's to say, where
// the bytes come to lie and whether they may run is others'.
//
// # Promise
//
//   - Nothing is written before its digest was found right: what a source sends in place of
//     a program never touches the flash, and every byte touches it once.
//   - What was written stays good for the next try, also after the process was killed: the
//     pieces that are there are found by their digests, and only the others asked for.
//   - Whatever a source does (the wrong length, no end, elsewhere, garbage, silence), it costs
//     bounded time and memory: a piece at a time, MaxRelease for a document.
//   - A piece that is not right is asked for once more, then of the next source.
//
// # Concurrency
//
// A Download is for one goroutine; what told is called from it. Sources may be shared.
//
// # Failure
//
// What no source gave is an error that names each with its reason, and edge.ErrUnavailable:
// another time may do better. The end of the context is its cause.
//
// # Testing
//
// Servers that do each of these things, in virtual time where time matters; the same on a
// real server of net/http.
package release
