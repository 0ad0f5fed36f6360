package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/release"
	"holdfast/edge/slots"
	"holdfast/edge/trust"
)

// updater brings the agent itself to another version, and back from one that is not well.
//
//	wish ─ find ─▶ trust ─▶ fetch ─▶ slot ─▶ self-test ─▶ switch ─▶ the agent ends
//	(policy,       believed  pieces   whole,  as a child,   │
//	 command,                         on      on a copy     ▼  the launcher starts it
//	 folder)                          flash               trial ─ well for long enough ─▶ kept
//	                                                        └──── not, or it ends early ─▶ the one before
//
// Whatever is cut off, the next start knows from the slots where it was, and from the kept
// pursuit what for.
type updater struct {
	slots    *slots.Store
	started  slots.Started
	version  string // of this process
	platform string
	governor *governor // nil: nobody's word is believed, and nothing is updated
	options  config.Update
	path     string // of the kept pursuit
	staging  string // folder in memory for the copy that is tried
	client   *http.Client
	room     func(ctx context.Context, folder string, need int64) error
	try      func(ctx context.Context, program, state string) (SelfTested, error)
	reread   func() error    // whether the configuration can be read as it is now
	standing func() standing // how the node is

	chronicle *chronicle
	warnings  *warnings
	log       *slog.Logger

	ready  chan struct{} // closed once the agent is in service
	taking turn          // of one pursuit at a time
	leave  chan string   // capacity 1: the version to start anew in

	mu       sync.Mutex // guards what follows
	report   edge.AgentReport
	linkSeen time.Time // the link was up
}

// newUpdater makes what updates the agent. It touches no file.
func (a *Agent) newUpdater(c config.Config) (*updater, error) {
	started := slots.FromEnvironment(a.options.Getenv)
	store, err := slots.New(started.Options())
	if err != nil {
		return nil, err
	}
	u := &updater{
		slots: store, started: started, version: a.options.Version, platform: platform(), governor: a.governor, options: c.Update,
		path: filepath.Join(c.Paths.State, pursuitName), staging: c.Paths.Run,
		client: release.NewClient(func() time.Time { return later(time.Now(), a.clockFloor()) }),
		room:   a.roomFor, chronicle: a.chronicle, warnings: a.warnings, log: a.options.Log,
		ready: make(chan struct{}), taking: newTurn(), leave: make(chan string, 1),
	}
	u.standing = func() standing { return u.stands(a) }
	u.try = newTester(a.options).run
	u.reread = func() error {
		_, err := a.options.Load()
		return err
	}
	u.report.Slot = string(started.Slot)
	return u, nil
}

// platform names what programs run on this machine, as releases do. Of the machines whose
// name leaves something open the build says the rest.
func platform() string {
	if goruntime.GOARCH != "arm" { // a constant: elsewhere what follows is not in the program
		return goruntime.GOOS + "/" + goruntime.GOARCH
	}
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "GOARM" {
				version, _, _ = strings.Cut(setting.Value, ",")
			}
		}
	}
	return goruntime.GOOS + "/armv" + version
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// errLeaving ends the agent so that it starts anew in another version.
var errLeaving = errors.New("another version of the agent is to run")

// Run carries the trial to its end, and follows those who may want another version, until
// ctx ends. It returns errLeaving when the agent is to start anew.
func (u *updater) Run(ctx context.Context) error {
	services := []service{{"leaving", u.awaitLeave}}
	if u.started.Slot != "" {
		u.clearTests()
		u.outcome(u.look())
		u.tellEnd()
		services = append(services, service{"settle", u.settle}, service{"trial", u.watchTrial})
	}
	if u.governor != nil { // who wants what cannot be had is told so
		services = append(services, service{"policy", u.followPolicy}, service{"folder", u.followFolder})
	}
	defer u.client.CloseIdleConnections()
	return runServices(ctx, services)
}

// awaitLeave ends the agent once somebody has switched.
func (u *updater) awaitLeave(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case version := <-u.leave:
		u.set(func(r *edge.AgentReport) { r.Phase, r.Wanted = edge.AgentLeaving, version })
		return errLeaving
	}
}

// startAnew has the agent end in order.
func (u *updater) startAnew(version string) {
	select {
	case u.leave <- version:
	default: // it is about to
	}
}

// leaving says for which version the agent is about to end; empty: for none.
func (u *updater) leaving() string {
	if r := u.Report(); r.Phase == edge.AgentLeaving {
		return "version " + r.Wanted + " of the agent is to run"
	}
	return ""
}

// settleAfter is how long the agent must have been in service to count as one that lasts.
const settleAfter = time.Minute

// settle says that the process has lasted, once it has. One that never gets ready does not.
func (u *updater) settle(ctx context.Context) error {
	var lasted <-chan time.Time
	for ready := u.ready; ; {
		select {
		case <-ready:
			ready, lasted = nil, time.After(settleAfter)
		case <-lasted:
			u.notice(u.slots.Settle())
		case <-ctx.Done():
			return nil
		}
	}
}

// endInOrder says that the process ends because it was asked to, unless it never was of use.
func (u *updater) endInOrder() {
	if u.started.Slot == "" {
		return
	}
	select {
	case <-u.ready:
		u.notice(u.slots.Settle())
	default:
	}
}

// codeSlots warns that the slots of the agent's versions cannot be read or written.
const codeSlots = "agent-slots-unreadable"

// notice warns of trouble with the slots, and clears it.
func (u *updater) notice(err error) {
	if err == nil {
		u.warnings.Clear(codeSlots, u.started.Dir)
		return
	}
	u.warnings.Raise(edge.Warning{
		Code: codeSlots, Subject: u.started.Dir, Detail: err.Error(),
		Remedy: "look at the disk; the agent runs on, and cannot be updated until it can be written to",
	})
}

// state is what the slots hold.
func (u *updater) state() slots.State {
	state, err := u.slots.State()
	u.notice(err)
	return state
}

// look takes what the slots say into the report.
func (u *updater) look() slots.State {
	state := u.state()
	u.set(func(r *edge.AgentReport) { tellSlots(r, u.started, state) })
	u.warnRescue()
	return state
}

func tellSlots(r *edge.AgentReport, started slots.Started, state slots.State) {
	r.Slot, r.Rescue = string(started.Slot), started.Rescue
	r.Sequence = state.Slot(started.Slot).Sequence
	r.Trial = state.OnTrial() && state.Active == started.Slot
	r.Previous = ""
	if r.Trial {
		r.Previous, r.TriesLeft = state.Version(state.Confirmed), state.TriesLeft
	} else {
		r.TrialUntil, r.Unwell, r.TriesLeft = time.Time{}, "", 0
	}
	r.Rejected = nil
	for _, bad := range state.Bad {
		r.Rejected = append(r.Rejected, edge.RejectedVersion{Version: bad.Version, Sequence: bad.Sequence, Digest: bad.Digest, Why: bad.Reason})
	}
}

// codeRescue warns that the factory's program stands in for a version.
const codeRescue = "agent-rescue"

func (u *updater) warnRescue() {
	if u.started.Rescue == "" {
		return
	}
	u.warnings.Raise(edge.Warning{
		Code: codeRescue, Subject: u.version, Detail: "the program that came with the node stands in: " + u.started.Rescue,
		Remedy: "update it to a release with a higher sequence; what runs is kept meanwhile",
	})
}

func (u *updater) set(change func(*edge.AgentReport)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.report)
}

// Report is how the agent stands between its versions.
func (u *updater) Report() edge.AgentReport {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.report
}

// root is whom the node believes.
func (u *updater) root() *trust.Root { return u.governor.store.Status().Trusted }
