// Package edge is the shared language of holdfast: the nouns every room speaks,
// each with one meaning.
//
// It owns values and no behaviour that touches the world: no I/O, no goroutines,
// no clocks of its own, and nothing but the standard library. Rooms hand these
// values to each other through the hall (edge/agent) and never import each other.
//
// # Concurrency
//
// Everything here is a plain value. Whoever shares one between goroutines treats
// it as read-only.
package edge
