// Package host owns what the node knows of itself: its vitals once a second, the
// facts that do not change while it is up, and the examination that says whether
// containers can run here at all.
//
// It promises that a sample costs less than a hundredth of a core, and that a
// sensor that fails takes nothing with it: its field is zero, the others stand.
//
// # Concurrency
//
// Sampler.Run samples; Vitals may be read from any goroutine and is the last
// whole sample. Sample may be called beside it. Check and ReadFacts keep nothing.
//
// # Failure
//
// A failing sensor is logged when it begins to fail and when it is back, not once
// a second. Check reports as findings, never as errors.
//
// # Testing
//
// Everything read from /proc and /sys can be read below another root, where tests
// lay out machines with cgroup v1, v2 and both. A benchmark measures a sample.
package host
