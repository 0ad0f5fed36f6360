package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"holdfast/edge"
	"holdfast/edge/host"
	"holdfast/runtime"
	"holdfast/scheduler"
)

// verbs are the effects of the fleet's commands. Whether a command is believed, counts
// and is not too late is settled before; what a policy permits is settled here. What
// they return becomes the reply: an error that says what kind it is, by the sentinels of
// edge or by a refusal, and what to do about it; and a result within edge.MaxResult, also
// beside an error where there is something to show.
//
// Do may be called for several commands at once. What changes which policy is in force,
// or what it needs, takes turns with the local API.
type verbs struct {
	governor   *governor
	supervisor *runtime.Supervisor
	models     models
	scheduler  *scheduler.Scheduler
	deadline   func(edge.Class) time.Duration // of a task that names none
	chronicle  *chronicle

	hands  hands
	images commandImages
	folder string // of the archives that may be imported
	// stocked lists what is in that folder, by name or digest.
	stocked func(context.Context) ([]string, error)
	gone    func(cause string, images []edge.Image) // hears of what was removed

	daemon  func() error // why containerd does not answer; nil: it does
	vitals  func() edge.Vitals
	examine func(context.Context) []host.Finding
	refresh func(context.Context) error
	reboot  func(context.Context) error // nil: the configuration does not allow it
	updater *updater
	systems *systemUpdater
}

// hands reach into instances.
type hands interface {
	runtime.Execer
	LogTail(ctx context.Context, id string, lines int) (io.ReadCloser, error)
}

// newVerbs makes the verbs of a node that a policy governs. refresh says hello to the
// fleet; reboot starts the machine anew, and is nil where that is not allowed.
func (a *Agent) newVerbs(refresh, reboot func(context.Context) error) *verbs {
	return &verbs{
		governor: a.governor, supervisor: a.supervisor, models: models{a.supervisor, a.router}, scheduler: a.scheduler,
		deadline: a.defaultDeadline, chronicle: a.chronicle,
		hands: a.driver, images: governedImages{a}, folder: a.imageFolder(),
		stocked: a.stock.Holds, gone: a.tellGone,
		daemon: a.daemonAway, vitals: a.vitals.Vitals,
		examine: func(ctx context.Context) []host.Finding {
			return Examine(ctx, *a.config.Load(), a.options.Built)
		},
		refresh: refresh, reboot: reboot, updater: a.updater, systems: a.systems,
	}
}

// daemonAway says why containerd does not answer; nil when it does.
func (a *Agent) daemonAway() error {
	daemon := a.daemon.Load()
	if daemon.Connected {
		return nil
	}
	return edge.WithHint(fmt.Errorf("containerd at %s does not answer: %w", daemon.Address, edge.ErrUnavailable),
		"what runs keeps running; look at the node's warnings")
}

// order is one command being carried out.
type order struct {
	edge.Command
	progress func(edge.Progress)
}

// cause names the command in events.
func (o order) cause() string { return "command " + o.ID }

// effect carries out one verb. What it returns is the result, as an object of JSON.
type effect func(context.Context, order) (any, error)

// effects lists what each verb does. Verbs that end other commands are not here: they
// belong to whoever runs the commands.
func (v *verbs) effects() map[edge.Verb]effect {
	return map[edge.Verb]effect{
		edge.VerbApply: v.apply, edge.VerbRollback: v.rollback,
		edge.VerbStart: v.start, edge.VerbStop: v.stop, edge.VerbScale: v.scale, edge.VerbRestart: v.restart,
		edge.VerbDrain: v.drain, edge.VerbUndrain: v.undrain,
		edge.VerbPull: v.pull, edge.VerbImport: v.importArchive, edge.VerbPrune: v.prune,
		edge.VerbInfer: v.infer, edge.VerbLogs: v.logs, edge.VerbExec: v.exec,
		edge.VerbVitals: v.tellVitals, edge.VerbDiagnose: v.diagnose,
		edge.VerbRefresh: v.sayHello, edge.VerbReboot: v.startAnew,
		edge.VerbUpdate: v.updateAgent, edge.VerbUpdateSystem: v.updateSystem,
	}
}

// Do carries a command out and returns when that has come to an end. The end of ctx
// gives up whatever can be given up. progress is called now and then, never at once
// from two goroutines; it may be nil.
func (v *verbs) Do(ctx context.Context, c edge.Command, progress func(edge.Progress)) (json.RawMessage, error) {
	do, known := v.effects()[c.Verb]
	if !known {
		return nil, fmt.Errorf("cannot carry out %.40q: this agent has no such verb: %w", c.Verb, edge.ErrInvalid)
	}
	if progress == nil {
		progress = func(edge.Progress) {}
	}
	result, err := do(ctx, order{c, paced(progress)})
	text, failed := encodeResult(result)
	if err == nil {
		err = failed
	}
	return text, err
}

// paceEvery is how often the progress of one command is told at most: often enough for
// a person who watches, and some hundred bytes each.
const paceEvery = time.Second

// paced leaves out what comes too soon after the last.
func paced(progress func(edge.Progress)) func(edge.Progress) {
	var last time.Time
	return func(p edge.Progress) {
		if now := time.Now(); last.IsZero() || now.Sub(last) >= paceEvery {
			last = now
			progress(p)
		}
	}
}

// encodeResult writes a result. Each verb keeps its own within bounds; one that does
// not is left out, and says so.
func encodeResult(result any) (json.RawMessage, error) {
	text, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("cannot encode result: %w", err)
	}
	if string(text) == "null" {
		return nil, nil
	}
	if len(text) > edge.MaxResult {
		return json.RawMessage(`{"truncated":true}`), nil
	}
	return text, nil
}

// fitting shortens a result until it fits: shorten takes a share of what is left away,
// and returns false when nothing is.
func fitting(result any, shorten func() bool) error {
	for {
		text, err := json.Marshal(result)
		if err != nil {
			return fmt.Errorf("cannot encode result: %w", err)
		}
		if len(text) <= edge.MaxResult || !shorten() {
			return nil
		}
	}
}
