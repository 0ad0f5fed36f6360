package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/host"
	"holdfast/edge/localapi"
	"holdfast/edge/metrics"
	"holdfast/edge/page"
	"holdfast/policycache"
	"holdfast/runtime"
	"holdfast/runtime/containerd"
	"holdfast/runtime/upstream"
	"holdfast/scheduler"
)

// build makes every room from the configuration. Read top to bottom it is the
// order in which they depend on each other.
func (a *Agent) build(in Inputs) (err error) {
	c := in.Config
	a.pid = os.Getpid()
	a.buildKeychain(c)
	a.vitals = host.New(host.Options{StatePath: c.Paths.State, Log: a.options.Log})
	if a.driver, err = containerd.New(driverOptions(c, a)); err != nil {
		return err
	}
	a.versions = newVersions(c.Paths.State, a.warnings, a.options.Log)
	a.supervisor, err = runtime.New(runtime.Options{
		Driver: a.driver,
		Log:    a.options.Log,
		Event:  a.chronicle.Add,
		Warn:   a.warned,
		Clear:  a.warnings.Clear,
		Pools:  func(pools []edge.Pool) { a.scheduler.Serve(pools) },

		Versions: a.versions.Read(), Keep: a.versions.Keep,
		Guarded: func(key string) bool { return a.governor != nil && a.governor.Guards(key) },
		Permit:  a.permitVersion,
	})
	if err != nil {
		return err
	}
	a.claims = a.newClaims(c)
	if err := a.buildScheduler(in); err != nil {
		return err
	}
	a.partition = &partition{govern: a.scheduler.Govern, changed: a.partitionChanged, now: time.Now}
	a.wanting = make(chan struct{}, 1)
	a.stock = newStock(a.imageFolder(), a.options.Log)
	a.stock.images, a.stock.load, a.stock.names = a.listImages, images{a.driver, a, "stock"}.importUnasked, containerd.ArchiveNames
	for _, build := range []func(config.Config) error{a.buildGovernor, a.buildUpdater, a.buildUplink, a.buildSite, a.buildInbox} {
		if err := build(c); err != nil {
			return err
		}
	}
	a.pressure = a.newPressure(int64(c.Disk.Reserve), c.Paths.State)
	a.history = newHistory((&sampler{Agent: a}).take)
	a.api, err = localapi.New(a.apiOptions(c))
	return err
}

// buildScheduler makes the queue, who is asked beside the node, and who counts.
func (a *Agent) buildScheduler(in Inputs) error {
	c := in.Config
	order, err := scheduler.ParseOrder(c.Scheduler.Order)
	if err != nil {
		return err
	}
	if a.metrics, err = metrics.New(node{a}.Status); err != nil {
		return err
	}
	a.wellness = a.newWellness()
	a.recent.count = func(s edge.Settlement) {
		a.metrics.Settled(s)
		a.wellness.Settled(s)
		if a.traces != nil {
			a.traces.Settled(s)
		}
	}
	a.buildTraces(c)
	a.router = upstream.NewRouter()
	learnt, wanted := a.newEstimates(in)
	a.estimates = learnt
	a.scheduler, err = scheduler.New(scheduler.Options{
		Order:       order,
		Slots:       taskSlots(c),
		Executor:    executor(c, a.supervisor),
		Remote:      a.router,
		Suspended:   c.Scheduler.Suspended,
		QueueLimit:  queueLimits(c),
		DefaultCost: time.Duration(c.Scheduler.DefaultCost),
		Estimates:   learnt.Read(wanted),
		Settled:     a.recent.Settled,
	})
	return err
}

// buildGovernor makes what governs the node by policies, if anything does.
func (a *Agent) buildGovernor(c config.Config) (err error) {
	if a.trust.Root == nil {
		return nil
	}
	g := &governor{
		rule:      a.rule,
		desire:    a.keychain.Desire,
		settle:    a.supervisor.Settle,
		vacant:    a.vacant,
		supply:    a.supply,
		cut:       a.partition.isCut,
		fits:      func(p *edge.Policy) error { return errors.Join(a.claims.Feasible(p), a.reachable(p)) },
		adjust:    newAdjustments(c.Paths.State, a.warnings),
		chronicle: a.chronicle,
		log:       a.options.Log,
		back:      make(chan uint64, 1),
		taking:    newTurn(),
		length:    time.Duration(c.Policy.Trial),
		shown:     &sharedWarnings{warnings: a.warnings},
		refused:   &sharedWarnings{warnings: a.warnings},
		failed:    make(chan failure, 1),
	}
	g.store, err = policycache.New(policycache.Options{
		Dir:      c.Paths.State,
		Root:     a.trust.Root,
		Factory:  a.trust.Factory,
		Identity: c.Node.Identity(),
		Built:    a.options.Built,
		Checker:  checker(kindState),
		Failing:  g.failing,
		Log:      a.options.Log,
	})
	a.governor = g
	return err
}

// buildUpdater makes what brings the agent itself, and the system below it, to another
// version.
func (a *Agent) buildUpdater(c config.Config) (err error) {
	if a.updater, err = a.newUpdater(c); err == nil {
		a.systems = a.newSystemUpdater(c)
	}
	return err
}

// buildKeychain makes what knows the secrets of workloads.
func (a *Agent) buildKeychain(c config.Config) {
	a.keychain = &keychain{
		state: c.Paths.State, credentials: a.options.Getenv("CREDENTIALS_DIRECTORY"), versions: map[string]string{},
		policy: func() *edge.Policy {
			if a.governor == nil {
				return nil
			}
			return a.governor.store.Snapshot().Policy
		},
		apply: func(workloads []edge.Workload) {
			a.claims.Take(workloads)
			a.supervisor.Apply(workloads)
		},
	}
}

// listImages asks containerd, which may hang.
func (a *Agent) listImages(ctx context.Context) ([]edge.Image, error) {
	ctx, cancel := context.WithTimeout(ctx, imagesWithin)
	defer cancel()
	list, err := a.driver.Images(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("containerd does not list its images: %w: %w", edge.ErrUnavailable, err)
	}
	return list, err
}

// imagesWithin bounds listing images; a store of hundreds answers in milliseconds.
const imagesWithin = 5 * time.Second

// warned takes a warning of the supervisor.
func (a *Agent) warned(w edge.Warning) {
	a.warnings.Raise(w)
	if a.governor != nil {
		a.governor.Warned(w)
	}
}

// permitVersion tells whether the policy, where one governs, lets an earlier version run.
func (a *Agent) permitVersion(w edge.Workload) error {
	permit := a.permitting()
	if permit == nil {
		return nil
	}
	var why []error
	for _, violation := range permit().Admit(w) {
		why = append(why, violation)
	}
	return errors.Join(why...)
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
		Policy:       a.permitting(),
		Registries:   a.registries,
		Most:         func() int64 { return a.claims.Memory() },
		Room:         func(need int64) error { return a.pressure.Room(need) },
		Secret:       a.keychain.Value,
		Log:          a.options.Log,
	}
}

// permitting gives the driver the policy to hold each start against; nil where none
// governs the node. A governed node without a policy permits nothing.
func (a *Agent) permitting() func() *edge.Policy {
	if !a.trust.Governs() {
		return nil
	}
	return func() *edge.Policy {
		if policy := a.policy(); policy != nil {
			return policy
		}
		return &edge.Policy{}
	}
}

func (a *Agent) apiOptions(c config.Config) localapi.Options {
	return localapi.Options{
		Socket: c.API.Socket, Listen: c.API.Listen, Group: a.socketGroup(c),
		NodeName: c.Node.Name, Version: a.options.Version,
		MaxBody: int64(c.API.MaxBody), MaxInFlight: int64(c.API.MaxInFlight),
		DefaultDeadline: a.defaultDeadline,
		Asked:           a.asked,
		Log:             a.options.Log,
		Inference:       a.inference(c),
		Models:          models{a.supervisor, a.router},
		Node:            node{a},
		Metrics:         a.metrics,
		Events:          a.chronicle,
		Images:          admitImages{images{a.driver, a, "local API"}},
		Volumes:         volumes{a},
		Logs:            logs{a},
		Policies:        policies{a},
		Updates:         updates{a},
		Live:            live{a},
		Page:            page.New(a.options.Version),
	}
}

// policy is what governs the node; nil while nothing does.
func (a *Agent) policy() *edge.Policy {
	if a.governor == nil {
		return nil
	}
	return a.governor.store.Snapshot().Policy
}

// defaultDeadline is the policy's word, else the configuration's.
func (a *Agent) defaultDeadline(class edge.Class) time.Duration {
	if policy := a.policy(); policy != nil && policy.Classes[class].Deadline > 0 {
		return time.Duration(policy.Classes[class].Deadline)
	}
	return time.Duration(a.config.Load().Scheduler.Classes.Of(class).Deadline)
}

func queueLimits(c config.Config) map[edge.Class]int {
	limits := map[edge.Class]int{}
	for _, class := range edge.Classes {
		limits[class] = c.Scheduler.Classes.Of(class).Queue
	}
	return limits
}

// executor is the supervisor, without its means to suspend where nothing is to be.
func executor(c config.Config, s *runtime.Supervisor) scheduler.Executor {
	if c.Scheduler.Preempt {
		return s
	}
	return struct {
		scheduler.Executor
		scheduler.Abandoner
	}{s, s}
}

func taskSlots(c config.Config) int {
	if c.Scheduler.Slots > 0 {
		return c.Scheduler.Slots
	}
	return goruntime.NumCPU()
}
