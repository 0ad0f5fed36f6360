package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/inbox"
	"holdfast/mqtt"
	"holdfast/mqtt/sitelink"
)

// sitePrefix tells the node's two clients apart, should both brokers be one.
const sitePrefix = "holdfast-site-"

// buildSite makes the link to the site's broker, if there is one. What it does is the
// policy's to say.
func (a *Agent) buildSite(c config.Config) (err error) {
	if c.Site.Address == "" {
		return nil
	}
	a.site, err = sitelink.New(sitelink.Options{
		Link: mqtt.Options{
			Broker: c.Site.Address, ClientID: sitePrefix + c.Node.Name, TLS: certificates(c.Site),
			Credentials: credentials(c.Site, "site-password", a.options.Getenv),
			ClockFloor:  a.clockFloor, Log: a.options.Log,
			// A frame or two of a small camera; what is larger belongs in a folder.
			Tuning: mqtt.Tuning{MaxFrame: 1 << 20},
		},
		Tasks: a.inference(c), Models: models{a.supervisor, a.router}, DefaultDeadline: a.defaultDeadline,
		Warnings: a.warnings, Log: a.options.Log,
	})
	if err != nil {
		return fmt.Errorf("cannot make link to site: %w", err)
	}
	a.triggered(a.site.Triggers)
	return nil
}

// runSite hears the site's messages once their models can answer: what the broker has kept for the node
// comes at once, and would be told that there is no instance. Until then it stays with the broker.
func (a *Agent) runSite(ctx context.Context) error {
	if err := a.supervisor.Settle(ctx); err != nil {
		return err
	}
	a.awaitAnswerers(ctx)
	return a.site.Run(ctx)
}

const (
	// answerersWithin is how long: what does not become ready is told so, like anybody.
	answerersWithin = 10 * time.Second
	// answerersEvery is how often it is looked.
	answerersEvery = 20 * time.Millisecond
)

// awaitAnswerers waits for the models that messages are asked of, or for long enough.
func (a *Agent) awaitAnswerers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerersWithin)
	defer cancel()
	ticker := time.NewTicker(answerersEvery)
	defer ticker.Stop()
	for a.lacksAnswerer() {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// lacksAnswerer tells whether a workload's model that messages are asked of is not ready.
func (a *Agent) lacksAnswerer() bool {
	policy := a.policy()
	if policy == nil {
		return false
	}
	return slices.ContainsFunc(policy.Triggers, func(t edge.Trigger) bool {
		_, ready, known := models{a.supervisor, a.router}.Model(t.Model)
		return t.MQTT != "" && known && !ready
	})
}

// triggered has somebody told of the policy's triggers.
func (a *Agent) triggered(tell func([]edge.Trigger)) {
	if a.governor == nil {
		return
	}
	before := a.governor.trigger
	a.governor.trigger = func(triggers []edge.Trigger) {
		if before != nil {
			before(triggers)
		}
		tell(triggers)
	}
}

// buildInbox makes what watches folders; the policy says which.
func (a *Agent) buildInbox(c config.Config) (err error) {
	a.inbox, err = inbox.New(inbox.Options{
		Tasks: a.inference(c), Models: models{a.supervisor, a.router}, Warnings: a.warnings,
		DefaultDeadline: a.defaultDeadline, MaxBytes: int64(c.API.MaxBody), Log: a.options.Log,
	})
	if err == nil {
		a.triggered(a.inbox.Triggers)
	}
	return err
}

// inboxReport is what has become of files; nil where no folder is watched
// and nothing asked by the clock.
func (a *Agent) inboxReport() *edge.InboxReport {
	s := a.inbox.Status()
	if s.Folders+s.Timed == 0 {
		return nil
	}
	report := &edge.InboxReport{Folders: s.Folders, Timed: s.Timed, Inside: s.Inside, Again: s.Again, Files: map[string]uint64{"unfit": s.Unfit}}
	for _, outcome := range edge.Outcomes {
		report.Files[outcome.String()] = s.Outcomes[outcome]
	}
	return report
}

// siteReport is how the node stands with the site's broker; nil where there is none.
func (a *Agent) siteReport() *edge.LinkReport {
	if a.site == nil {
		return nil
	}
	s := a.site.Status()
	report := &edge.LinkReport{
		Broker: s.Broker, Phase: string(s.Link.Phase), Since: s.Link.Since, Triggers: len(s.Triggers),
		Messages: map[string]uint64{"heard": s.Messages, "told": s.Told, "duplicate": s.Duplicates, "too large": s.Oversize},
	}
	report.Cause, report.Detail = failureWords(s.Link.Failure)
	for _, trigger := range s.Triggers {
		for _, outcome := range edge.Outcomes {
			report.Messages[outcome.String()] += trigger.Outcomes[outcome]
		}
		report.Messages["unfit"] += trigger.Unfit
	}
	return report
}

func failureWords(f *mqtt.Failure) (cause, detail string) {
	if f == nil {
		return "", ""
	}
	return string(f.Cause), f.Error()
}
