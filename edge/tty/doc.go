// Package tty is a terminal that a program has for itself: keys as they are pressed, the whole
// screen to write on, and everything as it was when it is given back.
//
// # What it owns
//
// The modes of the terminal behind two files, from Open to Close, and what each line of its
// screen shows.
//
// # Promise
//
// Close restores what Open found: modes, cursor, and the screen below. Nothing is asked of the
// terminal that it would have to answer: over a slow line, or on a console that cannot, an
// answer would come late and be read as keys. Only lines that changed are written, each paint
// in one piece.
//
// # Concurrency
//
// Paint and Close belong to one goroutine; the channels of Keys and Resized may be read by
// any. One goroutine reads keys and has ended when Close returns.
//
// # Failure
//
// Files that are no terminal give ErrNone. When the terminal goes away, the channel of Keys is
// closed.
//
// # Testing
//
// The keys by a table and a fuzz test; the rest on a pseudo-terminal of the kernel.
package tty
