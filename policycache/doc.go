// Package policycache keeps the policy that is in force. It owns state.db and the
// files policy.A and policy.B beside it, version floors, root documents, the lease
// and the clock floor.
//
// It promises that
//
//   - what Snapshot returns was verified when it came in and again when it was last
//     read from disk; there is no path around that;
//   - Apply returns nil only after the policy is on flash twice, in the database and
//     in a file that verifies by itself;
//   - Open ends within 10 seconds with the best policy that can be had, whatever the
//     files look like: database, else A and B, else factory, else none, and none
//     means that nothing is allowed;
//   - values that did not change are not written.
//
// A consumer takes Changed, then Snapshot, and waits on the former; so no change is
// missed.
//
// # Concurrency
//
// Snapshot, Changed and Status never wait. All that changes something takes turns:
// there is one writer, and everything mutable belongs to whoever has the turn.
//
// # Failure
//
// A document that is not believed is a *trust.Refusal. When the disk fails, what is in
// force stays in force in memory, a warning says so, Apply fails, and Run tries to
// reopen. What a failed commit, a damaged database or a full disk comes to is
// edge/boltfile's to say.
//
// # Testing
//
// crash_test.go rebuilds the states a power cut may leave, from the changes real
// commits made, and holds what is found against what was acknowledged; with controls
// that must fail. damage_test.go opens files damaged in hundreds of ways. Time is
// virtual in tests of the lease.
package policycache
