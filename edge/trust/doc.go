// Package trust decides which documents a node believes. It owns the envelope, the
// keys and who may use them, version floors, and the counted lease.
//
// It promises that
//
//   - nothing is believed that was not signed, as exactly that kind of document, by
//     as many distinct keys of its role as the root document demands;
//   - what is refused is refused with its own Reason, as a *Refusal;
//   - shape and size are judged before any cryptography, so that junk costs
//     microseconds;
//   - there is no setting, parameter or build that skips a check.
//
// Verify is the heart; AcceptPolicy, AcceptCommand, VerifyFreshness and
// VerifyConfirmation add what the documents themselves must say. Floors, Clock and Lease are values: whoever keeps them
// (policycache) stores them, and passes them in. See DESIGN.md.
//
// # Concurrency
//
// Everything is a function of its arguments. A *Root is never changed after it was
// read and may be shared.
//
// # Failure
//
// Every refusal is a *Refusal and edge.ErrInvalid. Signing fails on what could never
// be verified.
//
// # Testing
//
// A corpus of forgeries, each with the reason it must be refused for; fuzzing that
// lets Verify accept nothing but what was signed; published vectors of DSSE, TUF and
// Ed25519 for the parts others must agree with.
package trust
