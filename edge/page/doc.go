// Package page is what a person sees in a browser: one page about one node.
//
// It owns the page's files, which stand in static/ as they are served (plain HTML,
// CSS and JavaScript modules; nothing is generated), and how they are served: each
// with its digest, compressed once when it is first asked for, and with a policy
// that forbids a browser to run or load anything else. What the page shows comes
// from the local API (GET /v1/live), which this package knows nothing of.
//
// # Concurrency
//
// The handler may be used by any number of goroutines.
//
// # Failure
//
// There is nothing that can fail but a file that is not there, which is a 404.
//
// # Testing
//
// What the files do is tested in a real browser, by build/browser; here it is held
// what is served, how heavy it is, and that it refers to nothing outside.
package page
