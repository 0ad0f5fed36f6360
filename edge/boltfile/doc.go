// Package boltfile keeps small records in one bbolt file that opens after a power cut.
// It owns the file, and the three beside it that an opening may need: ".older" and
// ".new" while it works, and ".damaged", the latest file that was beyond help.
//
// It promises that
//
//   - a commit is there whole or not at all, whatever happens while it is made, and
//     once Commit returned without an error it is there;
//   - Open ends within 8 seconds whatever a file below 8 MiB looks like, and within
//     two more for every further 8 MiB; what it finds are records of one commit, the
//     latest or the one before, and never a mixture;
//   - a file that a newer program wrote, or that could not be checked, is not touched;
//   - values that did not change are not written.
//
// The owner keeps in memory what it has in the file. So a file that was lost while the
// program ran costs nothing, and one that cannot be had leaves the owner with its
// memory.
//
// # Concurrency
//
// A File is for one goroutine at a time; its owner takes turns. Records are shared and
// nobody changes them.
//
// # Failure
//
// Open fails only when another process has the file; all else is a rung of the ladder
// that Found names, with a reason. A commit that failed is indeterminate: the file is
// closed, checked in a child process, opened anew and committed to once; then it is
// given up until Restore. A sync is never tried again.
//
// bbolt panics in goroutines of its own, faults on its memory map and loops on damaged
// files; only a process can be thrown away. Hence the child, which is the program
// itself under another verb: see CheckMain.
//
// # Testing
//
// The package filetest has what it takes to lose power, to damage files and to make a
// disk fail; the tests here use it, with controls that must fail.
package boltfile
