// Package words writes what people read in a terminal: durations and sizes as coarse as a
// person needs them, and text of others that cannot do anything to the terminal.
//
// # What it owns
//
// How a value is put into words, and how many columns a text takes. It knows nothing of what
// the words are about.
//
// # Promise
//
// Printable text holds no control character, no escape sequence and nothing that turns the
// direction of writing, whatever came in. Width counts columns as terminals do: two for the
// wide letters of East Asia, none for marks that stand on the letter before.
//
// # Concurrency
//
// All functions are pure.
//
// # Failure
//
// There is none: every input has words.
//
// # Testing
//
// Tables, and a fuzz test that cuts any text to any width.
package words
