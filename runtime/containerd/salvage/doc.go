// Package salvage brings a containerd back whose own records can no longer be read, and
// says whether they can. It works on the daemon's folders while the daemon does not run.
//
// It owns the judgement of containerd's metadata (meta.db), of the snapshotter's
// (metadata.db) and of whether the two agree; what is set aside of them; and the metadata
// that takes their place, in which every image is named whose content lies whole on disk.
//
// It promises that
//
//   - Examine changes nothing, and neither it nor Repair hangs on a damaged file;
//   - a file that containerd has open is not touched, and containerd cannot open it while
//     Repair works;
//   - a damaged file is kept beside what takes its place, and the latest such one stays;
//     whenever the power goes, either the old or the whole new file has the name;
//   - what other namespaces have in a file that can be read is carried over as it is;
//   - what is named by a digest afterwards has that digest: every blob was hashed.
//
// Repair ends the containers of our namespace that still run without containerd. Nobody
// could say any more what they are, and the policy would start each of them a second time.
//
// # Concurrency
//
// Nothing is kept between calls. Two Repairs at once keep out of each other's way by the
// lock that also keeps containerd out.
//
// # Failure
//
// A damaged bbolt file makes whoever opens it panic, fault, loop or eat memory. So it is
// opened in a child process, which is this program under another verb: see ChildMain. A
// child that comes to a bad end is the file's verdict; one that could not be started, or
// was too slow, is none, and then nothing is changed.
//
// # Testing
//
// Against real files written here, damaged in hundreds of ways; on a real containerd by
// the tests from outside (build/e2e), which damage the metadata of a daemon that has been
// stopped and want the same digests running again.
package salvage
