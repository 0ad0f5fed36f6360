package agent

import (
	"fmt"

	"holdfast/edge"
	"holdfast/edge/config"
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
		Tasks: inference{a.scheduler}, Models: a.supervisor, DefaultDeadline: a.defaultDeadline,
		Warnings: a.warnings, Log: a.options.Log,
	})
	if err != nil {
		return fmt.Errorf("cannot make link to site: %w", err)
	}
	if a.governor != nil {
		a.governor.trigger = a.site.Triggers
	}
	return nil
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
