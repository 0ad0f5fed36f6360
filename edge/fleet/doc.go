// Package fleet is the operator's hall: what people who answer for nodes do at their
// own desk. It owns keys on disk, the way from an authored policy to the document that
// is signed, signing, and the comparison of two policies.
//
// A policy is written as YAML with the names of edge.Policy, but for apps, whose
// entries are whole Compose projects. Build turns it into the canonical JSON a node
// reads. Whatever a node would refuse or ignore is refused here, with file, line and
// column: unknown keys, wrong units, images that are not pinned. Nothing is fetched;
// images are pinned by what the operator says or by archives at hand.
//
// As a hall it may use a room: edge/compose, which reads the projects and the places
// everything stands at.
//
// # Concurrency
//
// Nothing is kept between calls. Two calls must not write the same folder.
//
// # Failure
//
// What is wrong with an authored file is a *compose.Problem, all of them joined; what
// nobody would believe is a *trust.Refusal. Both are edge.ErrInvalid. Files are
// written whole or not at all, and keys never over others.
//
// # Testing
//
// testdata/policy/valid holds authored policies beside the documents they mean,
// invalid holds some beside their exact errors; whatever the fuzzer gets built, a node
// must accept.
package fleet
