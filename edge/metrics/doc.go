// Package metrics shows the node to Prometheus.
//
// # Promises
//
//   - What is counted is counted for every task, once; all else is read when it is asked for.
//   - The number of series is bounded, whatever tasks name: models beyond MostModels are "other", and
//     nothing has a label that a caller chooses freely.
//   - Names end in their units, and stay.
//
// # Concurrency
//
// Settled and Handler's requests may come from any goroutine. Settled does not wait.
//
// # Testing
//
// The linter of Prometheus reads what is shown, and every family is held against a status that has
// something of everything.
package metrics
