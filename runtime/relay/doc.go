// Package relay owns the way from a port of the node to a port of an instance: a small
// process beside the agent that takes connections and hands on what is said.
//
// It reaches an instance by entering its network for the one call of connect, so an
// instance needs no network of its own to be reached, no bridge needs an address of the
// host's, and nothing of the kernel's (rules, translations, forwarding) is set or left.
// It is a process of its own so that it goes on while the agent is stopped, killed or
// replaced. The agent tells it all there is to be done each time that changes; nothing
// is kept on disk.
//
//	client ─► 127.0.0.1:8080 ─► relay ─► thread in the instance's network ─► 127.0.0.1:80 there
//	                              ▲
//	           agent: Client.Set ─┘ over a socket in a folder of root's
//
// # Promises
//
//   - A connection goes to an instance that takes it: who refuses is passed over.
//   - What is open stays open when the routes change, when the agent ends, and when a
//     newer program takes the place of this one.
//   - A process that has become another's is never reached in an instance's stead.
//   - When nothing is left to be done it ends, as it does when its folder is gone.
//
// # Concurrency
//
// Client may be used from any goroutine, though who cares which list comes last calls Set
// one after the other. Run alone starts goroutines, and returns after all of them.
//
// # Failure
//
// An address that cannot be had is told by Set, with the reason, and the others are
// served; the next Set tries again. Without the right to enter networks that is told in
// the same way. A relay that was killed is started anew by the next Set; its
// connections are lost.
//
// # Testing
//
// Real processes in networks of their own, in which servers of the tests listen.
package relay
