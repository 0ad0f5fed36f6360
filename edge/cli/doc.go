// Package cli is the command line of holdfast: one file a verb. It reads flags,
// asks the agent over its local API (or, for run, builds the agent), and prints
// tables for people or JSON for programs.
//
// # Exit codes
//
// They are part of the contract with scripts and are listed at ExitCode.
//
// # Concurrency
//
// A process runs one verb; nothing is shared.
//
// # Testing
//
// The binary is tested as a person would use it: scripts in testdata/script run
// the real holdfast.
package cli
