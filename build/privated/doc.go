// Package privated runs a private containerd for development, tests and
// benches: with its own root, state, socket and cgroup, beside and never in the
// way of one the machine may have.
//
// It owns everything under Options.Dir, the daemon it started there, the shims
// and containers of that daemon, and the cgroup Options.CgroupParent. It promises
// that Close leaves no process, mount, cgroup or socket of its own behind, and
// that the images and their content stay in Dir for the next start.
//
// Interrupting the parent from the keyboard does not reach the daemon: it runs
// in a process group of its own and ends by Close. When the parent is killed
// outright, the daemon and its containers stay, exactly as on a device; the next
// Start on the same Dir, or Clean, clears them away first.
//
// # Concurrency
//
// A Daemon's methods may be called from any goroutine. One process at a time
// holds a Dir: Start waits for the lock until its context ends.
//
// # Failure
//
// Start returns an error with the end of the daemon's own log. Close and Clean
// try everything and join what failed.
//
// # Testing
//
// Against the provisioned binaries in .tools/bin; without them the tests fail
// and name the remedy. With ToolsVariable they run on another containerd, as does
// every other test that stands on this package: Debian's, unpacked from its package, or
// 1.7 built in a copy of its module, whose excludes keep `go install` from it.
package privated
