package agent

import (
	"context"
	"encoding/json"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/trust"
	"holdfast/mqtt/commands"
	"holdfast/mqtt/outbox"
)

// buildRunner makes what carries the fleet's commands out.
func (a *Agent) buildRunner(c config.Config, u *uplink) (err error) {
	verbs := a.newVerbs(u.refresh, reboot(c))
	u.runner, err = commands.New(commands.Options{
		Node:     c.Node.Identity(),
		Root:     func() *trust.Root { return a.governor.store.Status().Trusted },
		Journal:  u.journal,
		Do:       a.telling(verbs.Do),
		Expired:  a.expired,
		Policy:   a.policyInForce,
		Progress: u.telemetry.Reply,
		Refused: func(reason, detail, digest string) {
			a.chronicle.Add(edge.Event{Kind: edge.EventCommandRefused, Subject: reason, Cause: detail, Facts: map[string]string{edge.FactMessage: digest}})
		},
		Log: a.options.Log,
	})
	return err
}

// telling makes events of commands.
func (a *Agent) telling(do commands.Effect) commands.Effect {
	return func(ctx context.Context, c edge.Command, progress func(edge.Progress)) (json.RawMessage, error) {
		facts := map[string]string{"verb": string(c.Verb), "issuer": shortKey(c.Issuer)}
		a.chronicle.Add(edge.Event{Kind: edge.EventCommandTaken, Subject: c.ID, Facts: facts})
		result, err := do(ctx, c, progress)
		ended := edge.Event{Kind: edge.EventCommandEnded, Subject: c.ID, Facts: facts}
		if err != nil {
			ended.Cause = err.Error()
		}
		a.chronicle.Add(ended)
		return result, err
	}
}

// shortKey is as much of a key's id as tells keys apart for people.
func shortKey(id string) string { return id[:min(len(id), 12)] }

// expired tells whether an instant has passed for certain.
func (a *Agent) expired(at time.Time) bool {
	return a.governor.store.Status().Clock.Expired(at, time.Now())
}

// policyInForce is what commands may ask for.
func (a *Agent) policyInForce() (version uint64, ended bool) {
	now := a.governor.store.Snapshot()
	return now.Version, now.Degraded()
}

// refresh says hello to the fleet and tells it the whole state.
func (u *uplink) refresh(context.Context) error {
	u.link.Refresh()
	return nil
}

// reboot is how the machine is started anew; nil where that is not allowed.
func reboot(c config.Config) func(context.Context) error {
	if c.Link.Reboot != "allow" {
		return nil
	}
	return newMachine().Reboot
}

// Reply tells what the journal does not: how far a command has come, what became of one
// that came again, and why one was not taken. It is worth little later.
func (t *telemetry) Reply(r edge.Reply) {
	kind := recordReply
	if r.Progress != nil {
		kind = recordProgress
	}
	t.tell(outbox.D0, kind, r)
}

// linkCommands hands on what comes over the link.
type linkCommands struct{ *commands.Runner }

// Take returns once the command is on flash, or refused.
func (l linkCommands) Take(ctx context.Context, envelope []byte) error {
	return l.Accept(ctx, envelope)
}
