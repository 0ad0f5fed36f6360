// Package top is what a person sees of a node in a terminal: the state of the screen, how a
// message changes it, and the lines it makes.
//
// # What it owns
//
// The model behind `holdfast top`: State.Update is a pure function of a state and a message,
// State.View one of a state and the size of the terminal. Decode reads what an agent sends at
// /v1/live as messages. Terminals, sockets and time are the caller's.
//
// # Promise
//
// No line is longer than the terminal is wide, no screen higher, at any size. Nothing that
// comes from the node can move the cursor or change a colour: names are made printable before
// they are shown. What is shown while the agent does not answer says that it is old.
//
// # Concurrency
//
// A State is a value: an update makes a new one, which shares nothing that changes with the
// one before.
//
// # Failure
//
// A stream that holds what is not of the contract gives an error and is read anew by the
// caller; a message that cannot be used changes nothing.
//
// # Testing
//
// Golden screens of a node that is well, overloaded, cut off, without containerd and gone, in
// three sizes; a fuzz test of states, keys and sizes.
package top
