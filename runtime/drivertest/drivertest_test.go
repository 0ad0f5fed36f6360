package drivertest_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
	"holdfast/runtime/drivertest"
)

func workload(image string, command ...string) edge.Workload {
	return edge.Workload{App: "check", Name: "one", Image: image, Command: command}
}

// bench is a fresh store with drivers of one flaw over it, which must end when over
// is closed.
func bench(f flaw, over <-chan struct{}) drivertest.Bench {
	h := &hub{over: over, listeners: make(map[*listener]bool)}
	namespace := func() *store { return &store{hub: h, instances: make(map[string]*process)} }
	s := namespace()
	open := func() runtime.Driver { return &driver{store: s, flaw: f} }
	return drivertest.Bench{
		Driver:    open(),
		Again:     open,
		Elsewhere: func() runtime.Driver { return &driver{store: namespace()} },
		Halted:    s.isHalted,
		Commands:  &commands,
		Tools:     &tools,
		Bounce: func(context.Context) error {
			h.tell(nil, edge.InstanceEvent{Kind: edge.InstanceEventGap})
			return nil
		},
		Workloads: drivertest.Workloads{
			Exit:       func(code int) edge.Workload { return workload("exit", strconv.Itoa(code)) },
			Sleep:      func() edge.Workload { return workload("sleep") },
			IgnoreTerm: func() edge.Workload { return workload("ignore") },
			Unknown:    func() edge.Workload { return workload("unknown") },
			EatMemory:  func() edge.Workload { return workload("eat") },
			Talk:       func(int) edge.Workload { return workload("sleep") },
		},
	}
}

func TestSuite(t *testing.T) {
	drivertest.Suite(t, func(*testing.T) drivertest.Bench { return bench(none, nil) })
}

// TestChecks_FindFlaws is the suite's negative control: every flaw must be found,
// and every check must find one.
func TestChecks_FindFlaws(t *testing.T) {
	flaws := []flaw{
		forgetsHash, listsNothing, startsTwice, startsAnything, leavesRecord, losesCode, forgetsExit, ignoresContext,
		waitsForNothing, onlyKills, neverKills, stopsOnce, removesOnce, losesInstances, losesExits, guessesUsage, noUsage, noOOM,
		onlyPretends, neverResumes, suspendsNothing, listThaws, stopsFrozen, killsFrozen, removesFrozen, adoptsFrozen,
		noEvents, noFirstGap, swapsEvents, losesEventExit, hidesHunger, hearsAll, namesNoWork, hidesGap, deafens, hearsOn,
		startsLate, execLosesCode, execIsMute, execGoesOn, execOutlives, execInEnded, execInNothing, execFreezes,
		logsForget, logsAll, logsKept, weighsNothing, imagesUnknown, importsAll,
		readyListed, forgetsReady, toolDumb, toolNoCode, toolGoesOn, toolUnbounded, readiesAll, keepsReady,
	}
	useful := make(map[string]bool)
	for _, f := range flaws {
		t.Run(string(f), func(t *testing.T) {
			found := false
			for _, check := range drivertest.Checks() {
				if run(t, check, f) != nil {
					found, useful[check.Name] = true, true
				}
			}
			if !found {
				t.Error("no check finds it")
			}
		})
	}
	for _, check := range drivertest.Checks() {
		if !useful[check.Name] {
			t.Errorf("check %s finds none of the flaws", check.Name)
		}
	}
}

// run holds one flawed driver against one check in virtual time.
func run(t *testing.T, check drivertest.Check, f flaw) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		over := make(chan struct{})
		defer close(over)
		err = check.Run(ctx, bench(f, over))
	})
	return err
}
