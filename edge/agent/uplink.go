package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/trust"
	"holdfast/mqtt"
	"holdfast/mqtt/commands"
	"holdfast/mqtt/fleetlink"
	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
)

// uplink is what the node has for its fleet: what happened on it, what became of
// commands, and the link that tells both.
type uplink struct {
	spool     *outbox.Spool
	telemetry *telemetry
	state     *signal
	link      *fleetlink.Link
	shown     *sharedWarnings

	// Nil where no policy governs the node: it then believes nobody's commands.
	journal     *journal.Journal
	journalOpen bool // of runUplink's goroutine
	runner      *commands.Runner
}

// patience is how long the fleet may be out of reach before that is a warning: a
// router that starts anew is none.
const patience = 10 * time.Minute

// buildUplink makes the link to the fleet, if there is one.
func (a *Agent) buildUplink(c config.Config) (err error) {
	if c.Link.Address == "" {
		return nil
	}
	u := &uplink{state: newSignal(), shown: &sharedWarnings{warnings: a.warnings}}
	u.spool, err = outbox.NewSpool(outbox.SpoolOptions{
		Dir: filepath.Join(c.Paths.State, "spool"), Boot: a.boot, Log: a.options.Log,
	})
	if err != nil {
		return err
	}
	u.telemetry = &telemetry{
		append: u.spool.Append, clock: a.stamp(), vitals: a.vitals.Vitals, every: time.Duration(c.Link.Vitals),
		log: a.options.Log, tasks: taskMeter{each: c.Link.Tasks},
	}
	options := a.linkOptions(c, u)
	if a.governor != nil {
		if err := a.buildCommands(c, u, &options); err != nil {
			return err
		}
	}
	if u.link, err = fleetlink.New(options); err != nil {
		return fmt.Errorf("cannot make link: %w", err)
	}
	a.uplink = u
	a.chronicle.tell, a.recent.tell = u.telemetry.Event, u.telemetry.Settled
	return nil
}

// linkOptions are what the link needs on every node.
func (a *Agent) linkOptions(c config.Config, u *uplink) fleetlink.Options {
	return fleetlink.Options{
		Site: c.Node.Site, Node: c.Node.Name, Groups: c.Node.Groups, Boot: a.boot,
		Session: mqtt.Options{
			Broker: c.Link.Address, TLS: certificates(c.Link.Broker),
			Credentials: credentials(c.Link.Broker, "link-password", a.options.Getenv),
			ClockFloor:  a.clockFloor, Retune: a.tuning, Log: a.options.Log,
		},
		Telemetry: fleetlink.Named("telemetry", u.spool),
		State:     a.reported, StateChanged: u.state.Changed, Birth: a.birth, Hello: a.hello,
		Budget: func() uint64 { return uint64(a.connectivity().MonthlyBytes) }, Patience: patience,
		Refused: a.refusedMessage, Log: a.options.Log,
	}
}

// buildCommands makes what only a node has that believes somebody.
func (a *Agent) buildCommands(c config.Config, u *uplink, options *fleetlink.Options) (err error) {
	u.journal, err = journal.New(journal.Options{
		Path: filepath.Join(c.Paths.State, "link.db"), Boot: a.boot, Child: checker(kindLink), Stamp: a.stamp().put, Log: a.options.Log,
	})
	if err != nil {
		return err
	}
	if err := a.buildRunner(c, u); err != nil {
		return err
	}
	options.Control, options.Memory, options.Meter = fleetlink.Named("control", u.journal), u.journal, meter{u.journal}
	options.Commands, options.Freshness = linkCommands{u.runner}, a.governor.store
	options.Policies = overLink{a.governor}
	options.Confirm = a.confirm
	return nil
}

// stamp says when something is, by a clock that is not before what is known.
func (a *Agent) stamp() stamp { return stamp{floor: a.clockFloor} }

// connectivity is the policy's word on how to keep in touch.
func (a *Agent) connectivity() edge.ConnectivityPolicy {
	if policy := a.policy(); policy != nil {
		return policy.Connectivity
	}
	return edge.ConnectivityPolicy{}
}

func (a *Agent) tuning() mqtt.Tuning {
	says := a.connectivity()
	return mqtt.Tuning{KeepAlive: time.Duration(says.Heartbeat), BackoffCap: time.Duration(says.MaxBackoff)}
}

// hello is what the node knows. The link adds the question.
func (a *Agent) hello() edge.Hello {
	report := policies{a}.report()
	hello := edge.Hello{PolicyVersion: report.Version, PolicyDigest: report.Digest, RootVersion: report.Root}
	if u := a.uplink; u.journal != nil {
		hello.Seen, hello.NeedFull = u.journal.Seen(), u.journal.NeedFull() || a.governor.store.Status().NeedFull
	}
	return hello
}

// confirm believes what the fleet says to have kept, if it signed that.
func (a *Agent) confirm(_ context.Context, envelope []byte) (edge.Confirmation, error) {
	said, err := trust.VerifyConfirmation(a.governor.store.Status().Trusted, envelope, a.config.Load().Node.Name)
	if err != nil {
		return edge.Confirmation{}, err
	}
	return *said, nil
}

// refusedMessage tells of what came over the link and was of no use.
func (a *Agent) refusedMessage(topic, reason string) {
	a.chronicle.Add(edge.Event{Kind: edge.EventMessageRefused, Subject: topic, Cause: reason})
}

// overLink applies policies that come over the link.
type overLink struct{ governor *governor }

// Apply takes a signed policy or root document.
func (o overLink) Apply(ctx context.Context, envelope []byte) error {
	_, err := o.governor.Apply(ctx, envelope)
	return err
}

// meter keeps the month's bytes as a note of the journal.
type meter struct{ *journal.Journal }

const meterNote = "usage"

// Load reads the month's bytes.
func (m meter) Load() (u fleetlink.Usage, err error) {
	if text := m.Note(meterNote); text != nil {
		err = json.Unmarshal(text, &u)
	}
	return u, err
}

// Save keeps the month's bytes.
func (m meter) Save(u fleetlink.Usage) error {
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return m.SetNote(context.Background(), meterNote, text)
}

// linking is what runs on a node that has brokers to talk to.
func (a *Agent) linking() (services []service) {
	if a.site != nil {
		services = append(services, service{"site link", a.runSite})
	}
	if a.uplink != nil {
		services = append(services, service{"link", a.runUplink}, service{"partition", a.watchPartition})
	}
	return services
}

// runUplink finds what is still to be told, and tells it until ctx ends. What happens
// before that waits in memory: no task, and no policy, waits for the fleet's sake.
func (a *Agent) runUplink(ctx context.Context) error {
	u := a.uplink
	if !a.awaitUplink(ctx) {
		return u.close()
	}
	services := []service{
		{"outbox", u.spool.Run},
		{"telemetry", u.telemetry.Run},
		{"state", func(ctx context.Context) error { return watchState(ctx, a.chronicle, u.state) }},
	}
	if u.journal != nil {
		services = append(services, service{"journal", u.journal.Run}, service{"commands", u.runner.Run})
	}
	services = append(services, service{"session", u.link.Run}, service{"link watch", a.watchLink})
	err := runServices(ctx, services)
	u.telemetry.end()
	return errors.Join(err, u.close())
}

// codeLinkLocked warns that somebody else has the files of the link.
const codeLinkLocked = "link-files-held"

// awaitUplink opens the link's files, and waits for as long as somebody else has them:
// what serves does not depend on it. It returns false when ctx ends first.
func (a *Agent) awaitUplink(ctx context.Context) bool {
	node := a.config.Load().Node.Name
	ticker := time.NewTicker(openEvery)
	defer ticker.Stop()
	for {
		err := a.uplink.open(ctx)
		if err == nil || ctx.Err() != nil {
			a.warnings.Clear(codeLinkLocked, node)
			return err == nil
		}
		a.warnings.Raise(edge.Warning{
			Code: codeLinkLocked, Subject: node, Detail: err.Error(),
			Remedy: "end what holds link.db or spool in the state folder; until then the fleet hears nothing",
		})
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// openEvery is how often files that somebody else has are tried again.
const openEvery = 5 * time.Second

func (u *uplink) open(ctx context.Context) error {
	if u.journal != nil && !u.journalOpen {
		if err := u.journal.Open(ctx); err != nil {
			return err
		}
		u.journalOpen = true
	}
	return u.spool.Open(ctx)
}

// close keeps what is still to be told.
func (u *uplink) close() error {
	err := u.spool.Close()
	if u.journal != nil {
		err = errors.Join(err, u.journal.Close())
	}
	return err
}

// watchLink tells of the link's comings and goings, and carries its warnings into the
// node's.
func (a *Agent) watchLink(ctx context.Context) error {
	u := a.uplink
	ticker := time.NewTicker(shareEvery)
	defer ticker.Stop()
	was := mqtt.Idle
	for {
		changed := u.link.Changed()
		status := u.link.Status()
		was = tellPhase(a.chronicle, was, status)
		u.shown.share(u.standing(status))
		a.toldFull(ctx, status)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-ticker.C:
		}
	}
}

// tellPhase makes events of what is worth one: that the link is up, and that it no
// longer is.
func tellPhase(c *chronicle, was mqtt.Phase, now fleetlink.Status) mqtt.Phase {
	is := mqtt.Phase(now.Phase)
	switch {
	case is == mqtt.Up && was != mqtt.Up:
		c.Add(edge.Event{Kind: edge.EventLinkUp, Subject: now.Session})
	case was == mqtt.Up && is != mqtt.Up:
		c.Add(edge.Event{Kind: edge.EventLinkDown, Subject: "link", Cause: now.Failure, Facts: map[string]string{"cause": now.Cause}})
	}
	return is
}

// toldFull notes that the fleet has been told everything, where the node had lost its
// memory before: the state at the beginning of the connection, and since then all that
// both streams had.
func (a *Agent) toldFull(ctx context.Context, status fleetlink.Status) {
	u := a.uplink
	if u.journal == nil || status.Phase != string(mqtt.Up) || status.Freshness == nil {
		return
	}
	for _, stream := range status.Streams {
		if stream.Waiting > 0 {
			return
		}
	}
	if u.journal.NeedFull() {
		a.note(u.journal.ToldFull(ctx))
	}
	if a.governor.store.Status().NeedFull {
		a.note(a.governor.store.SyncedFull(ctx))
	}
}

// note logs what is tried again, and shows as a warning of whoever could not do it.
func (a *Agent) note(err error) {
	if err != nil {
		a.options.Log.Warn("not-kept", "error", err.Error())
	}
}

// standing are the warnings of everything that belongs to the link.
func (u *uplink) standing(status fleetlink.Status) []edge.Warning {
	all := append(status.Warnings, u.spool.Status().Warnings...)
	if u.journal != nil {
		all = append(all, u.journal.Status().Warnings...)
	}
	return all
}

// linkReport is how the node stands with its fleet; nil where there is none.
func (a *Agent) linkReport() *edge.LinkReport {
	if a.uplink == nil {
		return nil
	}
	s := a.uplink.link.Status()
	report := &edge.LinkReport{
		Broker: a.config.Load().Link.Address, Phase: s.Phase, Since: s.Since, Cause: s.Cause, Detail: s.Failure,
		Session: s.Session, Beat: a.tuning().Filled().KeepAlive, Confirms: s.Confirms, Bytes: s.Bytes, Budget: s.Budget, Held: s.WaitsTill != nil,
	}
	if s.Freshness != nil {
		report.Heard = *s.Freshness
	}
	for _, stream := range s.Streams {
		report.Streams = append(report.Streams, stream.StreamReport)
	}
	return report
}
