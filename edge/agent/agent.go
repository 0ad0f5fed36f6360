package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/host"
	"holdfast/edge/inbox"
	"holdfast/edge/localapi"
	"holdfast/edge/metrics"
	"holdfast/edge/otlp"
	"holdfast/mqtt/sitelink"
	"holdfast/runtime"
	"holdfast/runtime/containerd"
	"holdfast/runtime/upstream"
	"holdfast/scheduler"
)

// Options are what the agent is built from.
type Options struct {
	Version string
	Built   time.Time // of the binary: no clock is right that is earlier
	Started time.Time // when the process began, for the time to READY
	Log     *slog.Logger
	Level   *slog.LevelVar // follows log.level on a reload; nil leaves the level alone
	// Load reads the configuration and what should run. It is called once at the
	// start and again at each reload.
	Load   func() (Inputs, error)
	Getenv func(string) string
	// Environ and Flags are those the process was started with, for another version of it
	// that is tried.
	Environ, Flags []string
}

// Inputs are what the agent is told from outside.
type Inputs struct {
	Config config.Config
	Trust  Trust
	// Workloads is what should run where no policy says so.
	Workloads []edge.Workload
	// WorkloadsErr says why Workloads is not known. Then what runs is adopted and
	// kept, since not knowing what should run is no reason to stop anything.
	WorkloadsErr error
	Warnings     []string
}

// Agent is the whole node agent.
type Agent struct {
	options Options
	pid     int
	boot    string                        // the name of this boot of the machine
	config  atomic.Pointer[config.Config] // in force
	lock    *stateLock
	claim   *claim
	notify  notifier

	chronicle *chronicle
	warnings  *warnings
	recent    *recent
	daemon    atomic.Pointer[edge.DaemonReport]

	lostDaemon time.Time // since when containerd is; of its watch alone
	trust      Trust     // as it was at the start
	governor   *governor // nil: no policy governs the node

	vitals     *host.Sampler
	keychain   *keychain
	driver     *containerd.Driver
	stock      *stock
	wanting    chan struct{} // capacity 1: workloads may lack images
	pressure   *pressure
	claims     *claims
	supervisor *runtime.Supervisor
	scheduler  *scheduler.Scheduler
	router     *upstream.Router
	partition  *partition
	estimates  *estimates
	versions   *versions
	api        *localapi.Server
	uplink     *uplink        // nil: there is no fleet
	site       *sitelink.Link // nil: there is no broker of the site
	inbox      *inbox.Inbox
	metrics    *metrics.Metrics
	traces     *otlp.Exporter // nil: no collector is told
	history    *history
	pulse      pulse
	siteFile   atomic.Pointer[edge.SiteFileReport] // nil: there never was one
	updater    *updater
	systems    *systemUpdater
	wellness   *wellness
}

// New builds the agent. It changes nothing outside the process.
func New(options Options, in Inputs) (*Agent, error) {
	a := &Agent{options: options, boot: bootID(), notify: newNotifier(options.Getenv), trust: in.Trust}
	a.config.Store(&in.Config)
	a.daemon.Store(&edge.DaemonReport{Address: in.Config.Containerd.Address, Namespace: in.Config.Containerd.Namespace})
	a.chronicle = newChronicle(options.Log)
	a.warnings = newWarnings(a.chronicle)
	a.recent = newRecent(a.chronicle)
	if err := a.build(in); err != nil {
		return nil, err
	}
	a.chronicle.heed = newRecoveries(a.metrics.Recovered).Heed
	a.take(in)
	return a, nil
}

// Open claims the state folder, finds the policy in force, and listens. After it
// callers can connect.
func (a *Agent) Open(ctx context.Context) error {
	paths := a.config.Load().Paths
	lock, err := lockState(paths.State)
	if err != nil {
		return err
	}
	a.lock = lock
	a.warnLock()
	a.trust.keep(paths.State, a.options.Log)
	daemon := a.config.Load().Containerd
	if a.claim, err = claimNamespace(daemon.Address, daemon.Namespace); err != nil {
		return errors.Join(err, a.Close())
	}
	for _, open := range []func() error{func() error { return a.openPolicies(ctx) }, a.driver.Open, a.api.Open} {
		if err := open(); err != nil {
			return errors.Join(err, a.Close())
		}
	}
	a.begin()
	a.heedSiteFile()
	a.keychain.Open()
	a.standFirm()
	return nil
}

// begin goes on with the events of the agent before, and tells that this one is there. An
// agent that was turned away has touched nothing.
func (a *Agent) begin() {
	config := a.config.Load()
	a.chronicle.Restore(filepath.Join(config.Paths.Run, "events."+config.Containerd.Namespace), edge.Event{
		Kind: edge.EventAgentStarted, Subject: config.Node.Name,
		Facts: map[string]string{"version": a.options.Version, "pid": strconv.Itoa(os.Getpid())},
	})
}

// openPolicies puts the best policy there is in force.
func (a *Agent) openPolicies(ctx context.Context) error {
	if a.governor == nil {
		return nil
	}
	if err := a.governor.store.Open(ctx); err != nil {
		return err
	}
	a.governor.adjust.Open() // before anything is told what should run
	a.governor.enforce()
	return nil
}

func (a *Agent) closePolicies() error {
	if a.governor == nil {
		return nil
	}
	return a.governor.store.Close()
}

// Close gives up what Open acquired. It stops no workload.
func (a *Agent) Close() error {
	a.api.Close()
	a.chronicle.Close()
	return errors.Join(a.driver.Close(), a.closePolicies(), a.claim.Close(), a.lock.Close())
}

// Run serves until ctx ends. Each value on reload reads the inputs anew.
func (a *Agent) Run(ctx context.Context, reload <-chan os.Signal) error {
	err := runServices(ctx, a.services(reload))
	if errors.Is(err, errLeaving) {
		err = nil
	}
	if err == nil {
		a.updater.endInOrder()
	}
	return err
}

// services lists what runs, in the order of its start.
func (a *Agent) services(reload <-chan os.Signal) []service {
	return slices.Concat(a.governing(), []service{
		{"vitals", a.vitals.Run},
		{"health", a.wellness.Run},
		{"history", a.history.Run},
		{"disk", a.pressure.Run},
		{"memory", a.claims.Run},
		{"log rotation", a.driver.Run},
		{"containerd events", func(ctx context.Context) error { return a.driver.Events(ctx, a.instanceEvent) }},
		{"containerd watch", func(ctx context.Context) error { return a.driver.Watch(ctx, a.daemonChanged) }},
		// Before both it asks, so that it is stopped after them: what they say then is final.
		{"estimates", a.estimates.Run},
		{"versions", a.versions.Run},
		// Before the supervisor, so that it is stopped after it: what a model still
		// computes then is let go by the supervisor and does not hold the end up.
		{"traces", a.runTraces},
		{"scheduler", a.scheduler.Run},
		{"upstreams", a.router.Run},
		{"inbox", a.inbox.Run},
		{"supervisor", a.supervisor.Run},
		{"local API", a.answer},
	}, a.linking(), []service{
		{"watchdog", func(ctx context.Context) error { return a.notify.Watchdog(ctx, a.alive) }},
		{"reload", func(ctx context.Context) error { return a.reloadOn(ctx, reload) }},
		{"secrets", a.keychain.Run},
		{"trim", a.trim},
		{"update", a.updater.Run},
		{"system update", a.systems.Run},
		{"ready", a.ready},
		{"shed", a.shedAtEnd},
	})
}

// governing is what runs on a node that policies govern.
func (a *Agent) governing() []service {
	if a.governor == nil {
		return []service{{"image stock", a.furnish}}
	}
	return []service{{"policy cache", a.governor.store.Run}, {"policy", a.governor.Run}, {"image stock", a.governor.Stock}}
}

// answer serves the local API from the moment the models are known: before it a
// caller would hear that there is no such model, and believe it.
func (a *Agent) answer(ctx context.Context) error {
	if err := a.supervisor.Settle(ctx); err != nil {
		return err
	}
	return a.api.Run(ctx)
}

// ready tells whoever waits that the agent is up, and at the end that it goes.
func (a *Agent) ready(ctx context.Context) error {
	if err := a.alive(ctx); err != nil {
		return err
	}
	a.options.Log.Info("ready",
		"socket", a.config.Load().API.Socket,
		"listen", a.api.Addr(),
		"after", time.Since(a.options.Started).Round(time.Microsecond).String())
	a.tell("READY=1")
	close(a.updater.ready)
	<-ctx.Done()
	a.tell("STOPPING=1")
	return nil
}

// shedWithin is what running tasks get to end in when the agent is asked to stop.
const shedWithin = 3 * time.Second

// shedAtEnd is the first to end: it says so while there is still a link, gives the
// waiting tasks back while their callers are still connected, and lets the running ones
// end.
func (a *Agent) shedAtEnd(ctx context.Context) error {
	<-ctx.Done()
	a.chronicle.Add(edge.Event{Kind: edge.EventAgentStopping, Subject: a.config.Load().Node.Name, Cause: a.updater.leaving()})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shedWithin)
	defer cancel()
	if err := a.scheduler.Shed(ctx); err != nil {
		a.options.Log.Warn("tasks-cut-off", "error", err.Error())
	}
	return nil
}

func (a *Agent) tell(state string) {
	if err := a.notify.Send(state); err != nil {
		a.options.Log.Warn("service-manager-unreachable", "error", err.Error())
	}
}

// alive answers once both loops do, the scheduler's and the supervisor's.
func (a *Agent) alive(ctx context.Context) error {
	if err := a.supervisor.Alive(ctx); err != nil {
		return err
	}
	answered := make(chan struct{})
	go func() {
		a.scheduler.Snapshot()
		close(answered)
	}()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
