package agent

import (
	"context"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/scheduler"
)

// How long the link to the fleet must be down before the node counts as cut off, where the policy does
// not say: three times five seconds.
const (
	defaultHeartbeat    = 5 * time.Second
	defaultOfflineAfter = 3
)

// partition is whether the node is cut off from its fleet, and what of the policy that changes, as
// whether it is well does.
type partition struct {
	govern  func(scheduler.Rules)
	changed func(cut bool, after time.Duration)
	now     func() time.Time

	mu     sync.Mutex // guards the rest
	policy *edge.Policy
	rules  scheduler.Rules
	up     time.Time // the link was last seen
	cut    bool
	unwell bool
}

// spread hands rules on, as the policy wants them where the node is cut off.
func (p *partition) spread(rules scheduler.Rules) {
	p.rules = rules
	if p.policy != nil {
		offline, health := p.policy.Offline, p.policy.Health
		rules.LocalOnly = p.cut && offline.Routes == edge.RoutesLocal
		switch {
		case p.cut && offline.Variants == edge.VariantsPreferSmall:
			rules.PreferSmall = edge.WhyOffline
		case p.unwell && health.Variants == edge.VariantsPreferSmall:
			rules.PreferSmall = edge.WhyHealth
		}
	}
	p.govern(rules)
}

// feel takes in whether the node is well.
func (p *partition) feel(unwell bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if unwell != p.unwell {
		p.unwell = unwell
		p.spread(p.rules)
	}
}

func (p *partition) isCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

// patience is how long the link may be down.
func (p *partition) patience() time.Duration {
	beat, after := defaultHeartbeat, defaultOfflineAfter
	if p.policy != nil && p.policy.Connectivity.Heartbeat > 0 {
		beat = time.Duration(p.policy.Connectivity.Heartbeat)
	}
	if p.policy != nil && p.policy.Connectivity.OfflineAfter > 0 {
		after = p.policy.Connectivity.OfflineAfter
	}
	return beat * time.Duration(after)
}

// look takes in whether the link is up now.
func (p *partition) look(up bool) {
	if cut, after, news := p.judge(up); news {
		p.changed(cut, after) // without the lock: the governor asks back
	}
}

func (p *partition) judge(up bool) (cut bool, after time.Duration, news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	since := p.up
	if up || since.IsZero() {
		p.up = now
	}
	if cut = now.Sub(p.up) >= p.patience(); cut == p.cut {
		return cut, 0, false
	}
	p.cut = cut
	p.spread(p.rules)
	return cut, now.Sub(since), true
}

func (a *Agent) partitionChanged(cut bool, after time.Duration) {
	kind := edge.EventPartitionOver
	if cut {
		kind = edge.EventPartitionBegan
	}
	a.chronicle.Add(edge.Event{Kind: kind, Subject: "link", Facts: map[string]string{"after": after.Round(time.Second).String()}})
	if a.governor != nil {
		a.governor.redesire()
	}
}

// partitionEvery is how late a partition may be seen.
const partitionEvery = time.Second

// watchPartition looks at the link until ctx ends.
func (a *Agent) watchPartition(ctx context.Context) error {
	ticker := time.NewTicker(partitionEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			a.partition.look(a.uplink.link.Status().Phase == string(mqtt.Up))
		}
	}
}
