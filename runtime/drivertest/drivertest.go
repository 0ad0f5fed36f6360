// Package drivertest is what every runtime.Driver must do, as checks: the real
// driver and the fake stand behind the same ones, so that what the supervisor
// learns from the fake holds for containers.
//
// It owns the checks and nothing else. A driver's own test calls Suite with a way
// to make a Bench: drivers over one fresh store, and workloads that behave in
// known ways.
//
// # Concurrency
//
// Checks run one after another, each on a bench of its own.
//
// # Failure
//
// A check returns an error that says what the driver did and what it should have
// done; Suite reports it. Every check is bounded in time.
//
// # Testing
//
// The package's own tests hold the checks against a sound driver in memory, and
// against the same with one flaw at a time, which a check must find.
package drivertest

import (
	"context"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
)

// Bench is what one check works with.
type Bench struct {
	// Driver holds no instance yet.
	Driver runtime.Driver
	// Again returns another driver value over the same store, as an agent has it
	// that was started anew. The first is used on as if it had crashed.
	Again func() runtime.Driver
	// Ready returns once a started instance's program has set itself up. Nil when
	// that is at once.
	Ready func(ctx context.Context, instance edge.Instance) error
	// Elsewhere returns a driver over another namespace of the same daemon, for one
	// that tells events.
	Elsewhere func() runtime.Driver
	// Bounce ends the daemon and starts it again, for a driver that tells events.
	Bounce func(ctx context.Context) error
	// Halted tells whether the instance is halted, for a driver that can suspend. It looks
	// past the driver.
	Halted func(id string) (bool, error)
	// Commands to run in an instance; nil for a driver that runs none.
	Commands *Commands
	// Tools to run once; nil for a driver that makes no containers for tasks.
	Tools *Tools

	Workloads
}

// Workloads behave in known ways. App and Name are free; two calls give workloads
// that differ at most in what the behaviour needs.
type Workloads struct {
	Exit       func(code int) edge.Workload // ends at once with a code
	Sleep      func() edge.Workload         // runs until its stop signal, then ends with code 0
	IgnoreTerm func() edge.Workload         // runs until it is killed
	Unknown    func() edge.Workload         // its image is not in the store
	// EatMemory takes memory until it is killed at its limit. Nil for a driver that
	// does not meter memory.
	EatMemory func() edge.Workload
	// Talk writes so many lines, "line 0" first, and then is as Sleep, which may say more.
	// Nil for a driver that keeps no logs.
	Talk func(lines int) edge.Workload
}

// within bounds one check: the slowest starts three containers, and an emulated
// board takes seconds for each.
const within = time.Minute

// Suite holds a driver against every check.
func Suite(t *testing.T, newBench func(t *testing.T) Bench) {
	t.Helper()
	for _, check := range Checks() {
		t.Run(check.Name, func(t *testing.T) {
			b := newBench(t) // which may wait for a place
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			if err := check.Run(ctx, b); err != nil {
				t.Error(err)
			}
		})
	}
}

// Check is one thing every driver must do.
type Check struct {
	Name string
	Run  func(ctx context.Context, b Bench) error
}

// Checks lists them all.
func Checks() []Check {
	return []Check{
		{"StartTellsInstance", startTellsInstance},
		{"StartListsInstance", startListsInstance},
		{"StartTwiceRefused", startTwiceRefused},
		{"StartUnknownImage", startUnknownImage},
		{"StartAfterRemove", startAfterRemove},
		{"StartCancelled", startCancelled},
		{"StartSeveral", startSeveral},
		{"WaitTellsCode", waitTellsCode},
		{"WaitAfterEnd", waitAfterEnd},
		{"WaitEndsWithContext", waitEndsWithContext},
		{"WaitUnknown", waitUnknown},
		{"WaitTwoCallers", waitTwoCallers},
		{"WaitOverDaemon", waitOverDaemon},
		{"StopAsksFirst", stopAsksFirst},
		{"StopKillsAfterGrace", stopKillsAfterGrace},
		{"StopAgain", stopAgain},
		{"RemoveKills", removeKills},
		{"RemoveAgain", removeAgain},
		{"AdoptRunning", adoptRunning},
		{"AdoptEnded", adoptEnded},
		{"UsageOfRunning", usageOfRunning},
		{"UsageUnknown", usageUnknown},
		{"MemoryLimitSeen", memoryLimitSeen},
		{"ExecTellsCode", execTellsCode},
		{"ExecTellsOutput", execTellsOutput},
		{"ExecEndsWithContext", execEndsWithContext},
		{"ExecOfDying", execOfDying},
		{"ExecOfEnded", execOfEnded},
		{"ExecUnknown", execUnknown},
		{"ExecOfSuspended", execOfSuspended},
		{"LogsUntilRemoved", logsUntilRemoved},
		{"WeighsWhatRuns", weighsWhatRuns},
		{"ImagesKnowWhatRuns", imagesKnowWhatRuns},
		{"SuspendHalts", suspendHalts},
		{"SuspendUnknown", suspendUnknown},
		{"StopOfSuspended", stopOfSuspended},
		{"KillOfSuspended", killOfSuspended},
		{"RemoveOfSuspended", removeOfSuspended},
		{"AdoptSuspended", adoptSuspended},
		{"EventsInOrder", eventsInOrder},
		{"EventsOfStop", eventsOfStop},
		{"EventsTellMemory", eventsTellMemory},
		{"EventsOfOwnNamespace", eventsOfOwnNamespace},
		{"EventsAfterDaemon", eventsAfterDaemon},
		{"EventsEndWithContext", eventsEndWithContext},
		{"ReadyIsNoInstance", readyIsNoInstance},
		{"ToolAnswers", toolAnswers},
		{"ToolTellsCode", toolTellsCode},
		{"ToolIsKilled", toolIsKilled},
		{"ToolIsBounded", toolIsBounded},
		{"ToolOfServer", toolOfServer},
	}
}
