package agent

import (
	"os"
	goruntime "runtime"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/host"
	"holdfast/edge/localapi"
	"holdfast/runtime"
	"holdfast/runtime/containerd"
	"holdfast/scheduler"
)

// build makes every room from the configuration. Read top to bottom it is the
// order in which they depend on each other.
func (a *Agent) build(c config.Config) (err error) {
	a.pid = os.Getpid()
	a.vitals = host.New(host.Options{StatePath: c.Paths.State, Log: a.options.Log})
	if a.driver, err = containerd.New(driverOptions(c, a)); err != nil {
		return err
	}
	a.supervisor, err = runtime.New(runtime.Options{
		Driver: a.driver,
		Log:    a.options.Log,
		Event:  a.journal.Add,
		Warn:   a.warnings.Raise,
		Clear:  a.warnings.Clear,
		Pools:  func(pools []edge.Pool) { a.scheduler.Serve(pools) },
	})
	if err != nil {
		return err
	}
	a.scheduler, err = scheduler.New(scheduler.Options{
		Slots:       slots(c),
		Executor:    a.supervisor,
		QueueLimit:  queueLimits(c),
		DefaultCost: time.Duration(c.Scheduler.DefaultCost),
		Settled:     a.recent.Settled,
	})
	if err != nil {
		return err
	}
	a.api, err = localapi.New(a.apiOptions(c))
	return err
}

func driverOptions(c config.Config, a *Agent) containerd.Options {
	return containerd.Options{
		Address:      c.Containerd.Address,
		Namespace:    c.Containerd.Namespace,
		CgroupParent: c.Containerd.CgroupParent,
		StateDir:     c.Paths.State,
		RunDir:       c.Paths.Run,
		Defaults:     c.Limits.Default.Edge(),
		LogMaxBytes:  int64(c.Logs.MaxSize),
		LogKeep:      c.Logs.Keep,
		Log:          a.options.Log,
	}
}

func (a *Agent) apiOptions(c config.Config) localapi.Options {
	return localapi.Options{
		Socket: c.API.Socket, Listen: c.API.Listen,
		NodeName: c.Node.Name, Version: a.options.Version,
		MaxBody: int64(c.API.MaxBody), MaxInFlight: int64(c.API.MaxInFlight),
		DefaultDeadline: a.defaultDeadline,
		Log:             a.options.Log,
		Inference:       inference{a.scheduler},
		Models:          a.supervisor,
		Node:            node{a},
		Events:          a.journal,
		Images:          images{a.driver, a},
		Logs:            logs{a},
	}
}

func (a *Agent) defaultDeadline(class edge.Class) time.Duration {
	return time.Duration(a.config.Load().Scheduler.Classes.Of(class).Deadline)
}

func queueLimits(c config.Config) map[edge.Class]int {
	limits := map[edge.Class]int{}
	for _, class := range edge.Classes {
		limits[class] = c.Scheduler.Classes.Of(class).Queue
	}
	return limits
}

func slots(c config.Config) int {
	if c.Scheduler.Slots > 0 {
		return c.Scheduler.Slots
	}
	return goruntime.NumCPU()
}
