// Package slots keeps the agent's versions and says which of them runs. It owns the folder
// /var/lib/holdfast/slots: two slots, a/holdfast and b/holdfast, and two small records in
// text that say what is in them, which one is confirmed, which one is on trial and how
// often it may still be started, what was found bad and why, and the version floor.
//
// The program in /usr/bin, the factory's, is never modified. It is the launcher: at each
// start it asks Choose, and becomes what that names. The agent that runs then installs,
// switches, confirms and rejects.
//
// # Promises
//
//   - Choose always names something that can be started: when nothing else is left, or
//     nothing can be read, it is the factory's program, with the reason for it.
//   - A version on trial is counted, on the disk, before it is started. Where that cannot
//     be written, it is not started.
//   - From any state that a power cut leaves, one of the first three starts is of a version
//     that has proven itself.
//   - Tries never grow, the floor never sinks, and a version that was found bad is neither
//     chosen nor installed again, until it is pardoned.
//   - A program is whole in its slot, on the disk and read back, before a record names it.
//
// DESIGN.md says what follows what, and why.
//
// # Concurrency
//
// A Store may be used from any goroutine. Of processes one at a time writes: the launcher
// until it becomes the agent, and then the agent.
//
// # Failure
//
// A record that was cut off in the middle leaves the one before it in force. Two damaged
// records are a store that knows nothing, and the factory's program in rescue. An error of
// Choose says what went wrong on the way; its Choice holds all the same.
//
// # Testing
//
// The crash harness of edge/boltfile/filetest cuts the power at every write and sync of the
// real code; build/e2e starts real programs that crash, hang and are damaged.
package slots
