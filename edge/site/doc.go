// Package site applies the file by which a person sets up a gateway: one file on
// the partition that any laptop can read and write.
//
// It owns the file's form (File), what it becomes on the node (Targets: a file of
// configuration, credentials, networks, time servers), the way from one to the other
// (Applier), and what the node says of itself on its console (Console).
//
// # Promises
//
// All or nothing: everything a file asks for is checked, by the agent's own checker
// too, before anything is replaced, and what was there before stays when it is wrong.
// A power cut in the middle leaves the old state or is finished at the next boot:
// what is to be done is written down whole, in one file, before it is begun. A file is
// applied once; then its secrets are overwritten where they stood and a note says what
// became of it. A file that somebody puts there later is applied again.
//
// Where the node's own disk lies in memory the file is applied and stays as it is: it is
// all that lasts.
//
// No error, report or note holds a password, a token or a key.
//
// # Concurrency
//
// Nothing is shared. One process applies at a time, which the unit sees to.
//
// # Failure
//
// A wrong file is no error of Apply but its result, with the line and the remedy of
// each fault; an error is a disk that cannot be read or written.
//
// # Testing
//
// Files as laptops write them (line ends, marks of byte order, names that editors
// change), the power cut before each single change, and whatever bytes come.
package site
