// Package broker is a broker for gateways that have none, for the demonstration and
// for tests. It owns its listeners, who may connect, who may say what, and the bounds
// of all that; the protocol itself is mochi-mqtt's.
//
// It promises that nobody connects who is not named by a password file, vouched for
// by an authority for client certificates, or let in by an explicit Anonymous; that
// nobody says, by a message or by a will, what Access does not let it; that a session
// belongs to the name that was proven, so that who uses another's client id gets one of
// its own; and that connections, sessions, packets, queues and retained messages have
// bounds. It keeps everything in memory, but for retained messages where Options.Keep says
// so: after a restart clients find an empty broker, which a holdfast link takes for an
// ordinary case.
//
// What it does not promise is written in Options.
//
// # Concurrency
//
// Open binds, Run alone starts goroutines and returns after all have ended. Access is
// called from many goroutines at a time.
//
// # Failure
//
// A client that breaks the protocol or a bound loses its connection. Running out of
// file descriptors refuses new connections until there are some again. Certificates
// and passwords are read anew for each connection; while they cannot be read nobody
// new comes in.
//
// # Testing
//
// Against raw bytes, and against mosquitto's own clients. The tests of package mqtt
// run sessions on it.
package broker
