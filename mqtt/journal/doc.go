// Package journal is the durable half of the link: what a node has promised its fleet,
// and must still know after a power cut. It owns link.db, and in it
//
//   - the seen window: which counters of each issuer were taken;
//   - the commands that are not final, and how far each has come;
//   - the last 256 final replies, for commands that come again;
//   - the control stream: what must reach the fleet, in order, until it is confirmed;
//   - small notes of the link, and whether this epoch has met a fleet that confirms.
//
// It promises that
//
//   - nothing is told before it is on flash: Take, Begin, Finish and Append return, and
//     Read shows their entries, after one commit that holds all of their effects;
//   - a command is taken once: the same again gets the same reply, byte for byte, as
//     long as that is kept, and is refused after;
//   - what Read returns stands for every number behind the acknowledged ones, in order,
//     by an entry or by a gap that counts what is gone;
//   - no pair of epoch and number is given out twice: numbers are part of the commit
//     that uses them, and an epoch ends with the file that knew it;
//   - everything in it is bounded, and what did not change is not written.
//
// An acknowledgement is written with the next commit, at the latest after a minute. To
// lose one costs sending the entry again, under the same number.
//
// # Concurrency
//
// All methods may be called from anywhere. Those that commit wait for the disk; what
// comes while it works is committed together. Run starts no goroutine. Readers see the
// state as it was last committed, and never wait.
//
// # Failure
//
// When the disk fails, the last committed state stays readable, what would change it is
// refused with edge.ErrUnavailable, a warning says so, and the file is tried again. A
// commit that failed may be found after a restart: as of one that succeeded and could
// not say so, nobody was told of it.
//
// A file that is lost takes the seen window with it: a new epoch begins, NeedFull says
// so, and only the expiry of an old command keeps it from being taken again. When only
// the last commit is lost, the epoch ends too, and commands that were received count as
// started. One loss goes unseen: a file whose newest meta page alone has rotted looks
// like one whose last commit the power cut off.
//
// # Testing
//
// crash_test.go cuts the power at every step of recorded runs and holds what is found
// against what was promised, with controls that must fail; model_test.go holds the
// journal against plain maps; the decoder of records is fuzzed.
package journal
