// Package compose owns the way from a Compose file to workloads: which keys are
// honoured, what they mean here, and what is wrong with a file.
//
// The keys are held against the list of those holdfast honours, so that a key is
// either kept or refused with its line and the reason: none is silently dropped. What
// an honoured value means is decided by the types of compose-go, the authority on
// Compose: sizes, durations, commands, variables. What Compose leaves to the platform
// is decided as the hardened default of holdfast decides it: a read-only root, no
// capabilities, no network. Keys only ever relax that one by one.
//
// The loader and the schema of compose-go are not linked: they would cost every start
// of the agent more than its own rooms do, whether or not there is a Compose file
// (docs/decisions/0007). The tests hold this package against them instead.
//
// Where Compose and a gateway differ:
//   - restart: Compose's default "no" stands for plain services. A model server
//     that says nothing is restarted always, since its tasks have nowhere else to
//     go. unless-stopped means always: nothing stops a workload but removing it.
//   - limits: 0 and -1 mean "unlimited" in Compose and are refused; a missing one
//     means the node's default.
//   - ${NAME} that is not set is an error, not an empty string; ${NAME:-} says that
//     empty is meant. Only the environment handed in counts, no .env file.
//   - volumes are binds of absolute paths, and what is mounted below a source stays out.
//     A device's node belongs to the user of the instance.
//   - networks lead nowhere but where the file says so: internal: true or false, or
//     external: true for one that apps share. Without networks there is none.
//   - a published port answers on the node's loopback where no address is named.
//   - only one file is read: no include, extends, env_file, and nothing remote.
//
// A file may also hold several projects beside other things, as a policy does: see
// Document.
//
// # Concurrency
//
// Load keeps nothing between calls and may be called from several goroutines.
//
// # Failure
//
// Every defect is a *Problem with file, line and column, and edge.ErrInvalid; all
// that can be seen in one pass are joined.
//
// # Testing
//
// testdata/compose/valid holds files with the workloads they mean, invalid holds
// files with the exact errors. LoadByCompose reads a file by compose-go's loader and
// schema: the valid files, every value on every key, and whatever the fuzzer gets
// accepted, must be accepted by it with the same meaning. attributes.go, which tells
// keys of Compose from keys of nobody, is held against the schema too.
//
// # A key more
//
// A key is honoured by a line in honoured (its shape) and one in meaningOf (its words),
// a field of config with the line in decoder.config that reads it, the same field in
// the oracle's converted, and its use in service.workload. What Compose checks across
// keys belongs to checkAgreement.
package compose
