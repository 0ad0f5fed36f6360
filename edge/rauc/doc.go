// Package rauc asks rauc, which replaces whole systems of a machine, for what it knows and
// has it install.
//
// # What it owns
//
// The way to rauc and back: its program is started, and what it writes is read. The work is
// done by rauc's own service, which it reaches over D-Bus, outside of whatever holds the
// caller; so an installation goes on when the caller, or the program it started, has ended.
//
// # Promise
//
//   - What rauc says of a failure is in the error, in its own words.
//   - A bundle that rauc does not take is edge.ErrInvalid; rauc that is busy, or cannot be
//     reached, is edge.ErrUnavailable; a machine without rauc says so, with what to do.
//   - However much rauc writes, and whatever, a bounded part of it is kept, and none of it
//     that a terminal would act on.
//
// # Concurrency
//
// Everything may be called at once; rauc itself installs one bundle at a time, and says so to
// the second.
//
// # Failure
//
// The end of the context ends the program that was started, not rauc's service.
//
// # Testing
//
// A program stands in for rauc, which writes what rauc 1.8 was seen to write, and worse.
package rauc
