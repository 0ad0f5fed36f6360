package main

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"holdfast/build/vm/order"
	"holdfast/edge"
)

// trial is a step that runs tests of a package: compiled here, run there, in the folder of
// the package below order.Tree.
type trial struct {
	name    string
	pkg     string // below the module
	tests   string // those that concern cgroups, the kernel or systemd; empty: all
	tags    string // beside the Makefile's
	within  time.Duration
	control bool // it finds cgroups of the first version
}

// trials are all steps, in their order: what is told of cgroups first, since nothing else
// means anything without it.
func trials() []trial {
	return []trial{
		{name: "cgroups", pkg: "build/vm/inside", tests: "^TestMachine", tags: "vm", within: 2 * time.Minute, control: true},
		{name: "service", pkg: "build/vm/inside", tests: "^Test(Service|Node)", tags: "vm", within: 10 * time.Minute},
		{name: "driver", pkg: "runtime/containerd", tests: ofDriver, within: 40 * time.Minute},
		{name: "host", pkg: "edge/host", tests: "^Test(Check|ReadFacts|Sampler_(Sample|OneSensorFails|Run|Temp))", within: 3 * time.Minute},
		{name: "e2e", pkg: "build/e2e", tests: ofAgent, within: 20 * time.Minute},
		// Last: it leaves no agent behind.
		{name: packageStep, pkg: "build/vm/inside", tests: "^TestPackage", tags: "vm", within: 10 * time.Minute},
	}
}

// packageStep wants packages on the disk, of two versions.
const packageStep = "package"

// ofDriver are the driver's tests but for those of registries, archives and other matters
// that know nothing of cgroups, the kernel or systemd.
const ofDriver = "^TestDriver_(Suite|Tenant|MemoryOfAll|Suspend|ExecIn|Weigh|DiskWeight|Confined|Hardening|Agent|Half|Sweep|Daemon|Shim|RunOnce|OtherRunDir|OneShot)"

// ofAgent are the tests from outside that freeze, kill and bound, but for those that want an
// answer within so many milliseconds: an emulated machine has its own.
const ofAgent = "^Test(Suspend_(GivesWay|AgentDies|ContainerdDies|Restart|Dies|Off)|Resources_Tenant)$"

// chosen are the steps that the options ask for.
func chosen(o options) ([]trial, error) {
	names, err := regexp.Compile(o.steps)
	if err != nil {
		return nil, fmt.Errorf("cannot choose steps: %w: %w", err, edge.ErrInvalid)
	}
	steps := slices.DeleteFunc(trials(), func(t trial) bool {
		return !names.MatchString(t.name) || o.control && !t.control
	})
	if len(steps) == 0 {
		return nil, fmt.Errorf("no step matches %q: %w", o.steps, edge.ErrInvalid)
	}
	if o.run != "" {
		for i := range steps {
			steps[i].tests = o.run
		}
	}
	return steps, nil
}

// step is what the machine is told of a trial.
func (t trial) step() order.Step {
	words := []string{path.Join(order.Tests, t.program()), "-test.v", "-test.timeout=" + (t.within - 10*time.Second).String()}
	if t.tests != "" {
		words = append(words, "-test.run="+t.tests)
	}
	return order.Step{Name: t.name, Dir: path.Join(order.Tree, t.pkg), Words: words, Within: t.within}
}

// program is the name of the package's tests as a program.
func (t trial) program() string { return strings.ReplaceAll(t.pkg, "/", "-") + ".test" }
