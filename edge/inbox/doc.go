// Package inbox makes tasks of files that come into watched folders, and of what is asked by
// the clock, as the policy's triggers say, and keeps what became of each.
//
// # Promises
//
//   - A file is taken when it has stopped changing, the oldest first, and answered once: its verdict is on the disk
//     before the file leaves the folder, and a file whose verdict is there is not asked about again, whatever
//     ends the process in between.
//   - What comes into the place of a file while that is answered is a task of its own, and stays for its turn.
//   - What is answered goes to done/, what cannot be to failed/, each with its verdict as NAME.json. A name that is
//     taken there gets a number; nothing is overwritten.
//   - What the node has no room for just now stays, and is tried again later.
//   - With a timetable it is taken once a time of it has come since it arrived. What goes by the clock alone has a
//     verdict for each time, and one for all those that passed while no process ran.
//   - Links, folders and names that begin with a dot are left alone. So is what is larger than MaxBytes: it goes to failed/.
//
// # Concurrency
//
// Run alone starts goroutines, Most at a time. Triggers and Status may be called from any.
//
// # Failure
//
// A folder that cannot be read or written is the warning inbox-unusable, and is looked at again; the
// others go on. Where files have been tried in vain for more than a minute that is the warning inbox-waits.
//
// # Testing
//
// In real folders and virtual time; every moment between two steps is one at which the process may
// end, and the next one must leave one verdict for each file.
package inbox
