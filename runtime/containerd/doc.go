// Package containerd is the driver for real: it runs workloads as containers of a
// containerd daemon.
//
// It owns one containerd namespace with everything that bears our labels, one
// lease that keeps imported images from being collected, the log files below
// StateDir and the instance folders below RunDir. It keeps no database: whatever
// it must know of an instance lies in the labels of its container, so a driver
// that starts finds everything an earlier one left running.
//
// # Promises
//
//   - A failed start leaves no container, snapshot, process or folder behind, nor does
//     one whose agent was killed, once the next one is there.
//   - Closing the driver, or killing its process, stops no container. Closing it leaves
//     none suspended, and what a killed one left goes on when the next lists it.
//   - Wait waits a restart of the daemon out and reports only a real end.
//   - Every container is hardened (spec.go), and what the kernel says about its
//     process is compared with what was asked for before Start returns.
//
// # Daemons
//
// Any containerd from 1.6 on will do; the whole suite of tests ran on 1.6.20, 1.7.27
// and 2.2.9 (HOLDFAST_TEST_CONTAINERD names the folder of another one). What 1.6 lacks
// beside 2, the transfer and sandbox services, is not asked for. So nothing depends
// on the version: Watch reports it for people, and a daemon that does not have what
// it is asked for says so in an error whose hint is its age.
//
// # Concurrency
//
// All methods may be called from any goroutine. The daemon serializes what
// concerns one container. Run, Watch and Events are the only loops; all end with
// their context.
//
// # Events
//
// Events follows the daemon's stream, in which nothing is repeated: that it was
// away, or the listener slow, is told as a gap. An end is told before the removal
// even if the stream had them the other way round, and want of memory before the
// end that it brought.
//
// # Registries
//
// Pull fetches by digest and nothing else, over HTTPS but for the loopback and for what
// Options.Registries says, which may give mirrors, passwords and authorities too. A
// registry need not be honest: what it sends is bounded, held against its digest by the
// daemon, never decompressed on the way, and given up when nothing comes for PullStall.
// Where the way breaks off it is tried again as long as that brings something. What came
// is held by a lease of that pull's own for a day, and the next pull goes on from there;
// what was a lie, or found no room on the disk, is let go at once.
//
// # Users
//
// A user that the workload or the image names instead of numbering is looked up in
// the image's own files. They are read out of its layers through the daemon, for the
// agent's service may not mount. All layers are read once for each image and name
// after the agent's start, which takes as long as decompressing them; numbers cost
// nothing.
//
// # Failure
//
// New does no I/O and Open does not ask for the daemon: the connection is made
// when first needed and again when it was lost, and until then calls return
// edge.ErrUnavailable. An instance whose task the daemon has lost, by a reboot or
// by the death of its shim, is listed as neither running nor with an exit, for
// nobody knows how it ended; Wait, which must name a code, says 255. One whose shim
// merely does not answer is listed as running, without a pid.
//
// The daemon cannot clear up after a task whose creation was cut off, as it is when
// the agent dies (settle.go). So whoever removes an instance whose task is gone looks
// at the machine itself, ends what still runs, and deletes the container only then:
// by its record an instance is found again, however often agents die over it. What
// has no container at all is looked for in the first minute after the daemon came
// back, and ended when it was seen twice (sweep.go). It is ours if its shim was
// started for our namespace by our daemon, or if runc keeps its state below RunDir;
// a cgroup alone proves nothing. Processes that the agent's own rights do not reach,
// on a kernel without cgroup.kill, end with their shim, through the daemon, for which
// there are some five seconds; after that the agent needs CAP_KILL.
//
// The folder of a workload's unix endpoint is writable by its container. It must
// lie on a tmpfs (as /run does): what the container writes there is then charged
// to its own memory limit. Whoever connects to the socket must not follow a
// symbolic link that the container put in its place.
//
// # Networks
//
// A workload that is on networks is put on their bridges by the plugins of the Container
// Network Interface (network.go), between the creation of its process and its start, and
// knows the others by a hosts file (hosts.go). What belongs to an instance there ends with
// its namespace; its address is given back, and a bridge that nobody is on any more taken
// away, when the instance is removed or swept away. A network that leads outside has an
// address of the host's and rules of its own besides (network_outward.go, rules.go). Ports
// of the node are answered by a process that outlives the agent (ports.go, runtime/relay).
//
// # Testing
//
// Against a real, private containerd (build/privated), with images that the tests
// pack themselves, and behind the same conformance suite as the fake
// (runtime/drivertest).
package containerd
