// Package mqtt owns the link: the connection between a node and its fleet, or its
// site, over MQTT 3.1.1; and what is said on it, the topics and the envelope.
//
// # Promises
//
//   - Publish returns nil, and Send calls back with nil, only after the broker has
//     acknowledged the message; what was acknowledged is never lost on our side.
//   - Everything given to Send settles exactly once, at the latest when its
//     connection ends. Nothing is sent by itself a second time: an outbox does that.
//   - A message from the broker that nobody acknowledged comes again.
//   - Whatever bytes the broker sends, nothing panics, and memory stays within two
//     packets and Inbox × MaxFrame, or InboxBytes.
//   - A connection that stands while nobody is there is noticed within KeepAlive +
//     PingTimeout + 5 s, and Run tries again for ever, each time after a jittered wait.
//
// # Concurrency
//
// Run alone starts goroutines, and returns after all have ended. Everything else may
// be called from any goroutine at any time. Handle and OnUp run on goroutines of
// their own; the callbacks of Send run where acknowledgements are read and must not
// wait. No lock is held across a callback or the network.
//
// # Failure
//
// Why there is no connection is a *Failure in State, with a Cause to branch on; every
// failure is edge.ErrUnavailable. Causes that ask for a person, such as refused
// credentials or an expired certificate, are tried again less often. The broker is
// trusted with nothing: a packet that no broker may send ends the connection.
//
// # Testing
//
// DESIGN.md lists the hazards of the client library that shaped this package; each is
// a test against a broker of raw bytes, most in virtual time, and control_test.go
// shows the library alone failing them. Besides run the embedded broker, a real
// mosquitto, and a proxy between that cuts and delays.
package mqtt
