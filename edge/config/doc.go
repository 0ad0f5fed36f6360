// Package config owns the agent's configuration: where it comes from, what each
// key means, and what is wrong with it.
//
// It is laid down in layers, each over the one before: built-in defaults, the
// configuration file, the files of conf.d beside it in the order of their names,
// HOLDFAST_* variables of the environment, and key=value overrides from the
// command line. Every key stands once, in the table of settings; its type, its
// bounds, its variable and whether it can change while the agent runs follow
// from that row.
//
// It promises: a key nobody knows, a value of the wrong type or out of bounds is
// an error that names the place, the key and the remedy; all of them are
// reported, not only the first; and every value in force knows where it came
// from. What is loaded is never half a configuration: either a whole one or
// errors.
//
// # Concurrency
//
// Load reads files and returns plain values. A Config handed around is read-only.
//
// # Failure
//
// Each defect is a *Problem, which is edge.ErrInvalid; Problems lists those of an
// error. Files that cannot be read come as they are, wrapped with their name.
//
// # Testing
//
// Tests write files into a folder of their own and pass the environment in; the
// process environment is never read here. The example testdata/config/full.yaml
// is held against the table, and the loader is fuzzed.
package config
