// Package compose owns the way from a Compose file to workloads: which keys are
// honoured, what they mean here, and what is wrong with a file.
//
// Compose itself is read by compose-go, the authority on it. Before it sees the
// file the keys are held against the list of those holdfast honours, so that a
// key is either kept or refused with its line and the reason: none is silently
// dropped. What Compose leaves to the platform is decided as the hardened default
// of holdfast decides it: a read-only root, no capabilities, no network. Keys only
// ever relax that one by one.
//
// Where Compose and a gateway differ:
//   - restart: Compose's default "no" stands for plain services. A model server
//     that says nothing is restarted always, since its tasks have nowhere else to
//     go. unless-stopped means always: nothing stops a workload but removing it.
//   - limits: 0 and -1 mean "unlimited" in Compose and are refused; a missing one
//     means the node's default.
//   - ${NAME} that is not set is an error, not an empty string; ${NAME:-} says that
//     empty is meant. Only the environment handed in counts, no .env file.
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
// files with the exact errors. The shapes of values are checked here, because
// compiling the Compose schema would be most of the agent's start; that schema
// is asked in the tests instead: every value on every key, and whatever the fuzzer
// gets accepted, must be accepted by it with the same meaning.
package compose
