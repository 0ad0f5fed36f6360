// Package filetest is what the tests of whoever keeps a boltfile share: a disk that
// fails, a disk that loses power, and files that go bad in hundreds of ways.
//
// It owns no files of its own. A Recorder stands between the code under test and the
// disk and writes a journal of what was done. A Crash replays the journal into a model
// of a disk up to any point and cuts the power there: what was not synced is there, or
// is not, or is in part, sector by sector; renames that no sync of the folder followed
// are there up to any one of them. Each such state is opened by the real code and
// compared: acknowledged ≤ found ≤ started.
//
// What the code does beside the database is recorded as it happens. What bbolt does is
// not to be seen from outside; it is taken from the difference between the files before
// and after a commit, in bbolt's own order: size, pages, sync, meta, sync.
//
// # Concurrency
//
// A Recorder is for one goroutine. A Crash opens two states at a time.
//
// # Failure
//
// All findings are test errors.
//
// # Testing
//
// A Crash has controls, which lie as disks and programs do; one that finds nothing
// fails the test.
package filetest
