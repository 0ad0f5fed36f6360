// Package localapi is the agent's door on its own node: the Open Inference
// Protocol for whoever has work, and an admin API for whoever looks after the
// node, over HTTP on a unix socket and a loopback port. It also holds the client
// the command line uses.
//
// # What it owns
//
// The two listeners, the bytes of requests in flight, and the translation
// between HTTP and the vocabulary of package edge. It decides nothing about
// tasks: what it is handed stands behind the interfaces in options.go.
//
// # Promise
//
// The deadline of a request counts from the moment its header is read, before
// its body is. A request that cannot be run is told so before it is queued, and
// the field at fault is named. An answer carries what the node knows about how
// it came to be, and costs no decoding of tensors. Whatever arrives, memory
// stays within MaxInFlight bytes of bodies and MaxConns connections for each
// listener.
//
// The unix socket is for root, the agent's own user and the members of its group: by its
// permissions, and by what the kernel says of who has connected. There everything is
// answered. The loopback port, which every user of the machine reaches, serves inference and
// reads; to who has the token also what has workloads and tasks do something, and their
// output. What puts things on the node or takes them away, and its policy, is the
// socket's alone. The port refuses requests that a web page of elsewhere had a browser
// send, and tokens cannot be tried faster than one a second.
//
// A live stream (GET /v1/live) tells all who read the same, however many and whatever the
// load: the node is asked once for all, four times a second at most, and not at all while
// nobody reads. Who does not take it is cut off.
//
// What nearly every caller on the socket sends, a plain inference request, is answered
// without net/http (short.go), all else by it; nobody can tell which from the answer.
//
// # Concurrency
//
// A Server serves every connection on a goroutine of its own, and the live streams by one
// more; all of them have ended when Run returns. A Client may be used by many goroutines at once.
//
// # Failure
//
// Errors are JSON (oip.ErrorBody): a text for people, a reason for programs and,
// where they help, the field, a hint and when to ask again. The client turns
// them back into the errors and refusals of package edge.
//
// # Testing
//
// Real listeners, hand-written fakes behind the interfaces; slow, endless,
// enormous and a thousand simultaneous requests among them; callers of other users. A fuzz test holds what is
// answered without net/http against what net/http makes of the same bytes.
package localapi
