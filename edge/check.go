package edge

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

// Bounds that catch slips of the pen; all are beyond what a gateway can hold.
const (
	maxLeaseHours    = 10 * 365 * 24
	maxLeaseBoots    = 1_000_000
	maxQueue         = 65536
	maxCores         = 1024
	maxReplicas      = 100
	longestDeadline  = Duration(24 * time.Hour) // no task waits longer than a day
	longestHeartbeat = Duration(24 * time.Hour)
	longestWindow    = Duration(24 * time.Hour)
)

const nameRule = "use at most 63 letters, digits, '.', '_' or '-', the first a letter or digit"

// IsName tells whether text may name a node, group, label, tenant, workload or
// model: what a path, an MQTT topic level and a log line all carry unquoted.
func IsName(text string) bool {
	if text == "" || len(text) > 63 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && (i == 0 || strings.IndexByte("._-", c) < 0) {
			return false
		}
	}
	return true
}

// checker collects the defects of a document.
type checker struct{ problems []error }

func (c *checker) require(ok bool, field, detail string) {
	if !ok && len(c.problems) < maxProblems {
		c.problems = append(c.problems, &FieldProblem{field, detail})
	}
}

func (c *checker) count(n, least, most int, field string) {
	c.require(n >= least && n <= most, field, fmt.Sprintf("%d is not between %d and %d", n, least, most))
}

func (c *checker) number(x, most float64, field string) {
	c.require(x >= 0 && x <= most && !math.IsNaN(x), field, fmt.Sprintf("%v is not between 0 and %v", x, most))
}

func (c *checker) span(d, most Duration, field string) {
	c.require(d >= 0 && d <= most, field, fmt.Sprintf("%v is longer than %v", d, most))
}

func (c *checker) oneOf(value, field string, allowed ...string) {
	c.require(value == "" || slices.Contains(allowed, value), field,
		quoteShort(value)+" must be "+strings.Join(allowed, " or "))
}

func (c *checker) err() error { return errors.Join(c.problems...) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func labelText(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, name := range sorted(labels) {
		pairs = append(pairs, name+"="+labels[name])
	}
	return strings.Join(pairs, ",")
}

// Check finds what a well-formed policy says that cannot be meant. Every defect is
// a *FieldProblem.
func (p *Policy) Check() error {
	c := checker{}
	c.require(IsName(p.Metadata.Name), "metadata.name", nameRule)
	c.require(p.Metadata.Version >= 1 && p.Metadata.Version <= maxSafeInteger, "metadata.version", "must be a whole number from 1")
	if err := p.Metadata.Audience.check("metadata.audience"); err != nil {
		c.problems = append(c.problems, err)
	}
	c.count(p.Lease.Hours, 1, maxLeaseHours, "lease.hours")
	c.count(p.Lease.Boots, 1, maxLeaseBoots, "lease.boots")
	c.oneOf(string(p.Lease.OnExpiry), "lease.onExpiry", string(LeaseDegrade), string(LeaseHold))
	p.checkShares(&c)
	p.checkSecurity(&c)
	p.checkSecrets(&c)
	p.checkBehaviour(&c)
	p.Agent.check(&c, "agent.")
	p.checkRoutes(&c)
	p.checkTriggers(&c)
	p.checkWorkloads(&c)
	return c.err()
}

// checkShares looks at classes, tenants and limits.
func (p *Policy) checkShares(c *checker) {
	for _, class := range Classes {
		at := "classes." + class.String() + "."
		c.span(p.Classes[class].Deadline, longestDeadline, at+"deadline")
		c.count(p.Classes[class].Queue, 0, maxQueue, at+"queue")
	}
	p.checkTenants(c)
	most, request := p.Limits.Default, p.Limits.DefaultRequest
	most.check(c, "limits.default.")
	request.check(c, "limits.defaultRequest.")
	c.require(most.CPUs == 0 || request.CPUs <= most.CPUs, "limits.defaultRequest.cpus", "is above limits.default.cpus")
	c.require(most.Memory == 0 || request.Memory <= most.Memory, "limits.defaultRequest.memory", "is above limits.default.memory")
}

func (l InstanceLimits) check(c *checker, at string) {
	c.number(l.CPUs, maxCores, at+"cpus")
	c.require(l.Memory >= 0, at+"memory", "is below zero")
	c.require(l.Pids >= 0 && l.Pids <= 1<<22, at+"pids", "is not between 0 and 4194304") // the kernel's own bound
}

func (p *Policy) checkSecurity(c *checker) {
	s := p.Security
	c.oneOf(s.Images.Pin, "security.images.pin", PinDigest)
	for i, pattern := range s.Images.Allow {
		_, err := path.Match(pattern, "")
		c.require(pattern != "" && err == nil, fmt.Sprintf("security.images.allow[%d]", i), quoteShort(pattern)+" is not a pattern")
	}
	c.oneOf(string(s.Privileged), "security.privileged", string(Deny), string(Allow))
	c.oneOf(string(s.HostNetwork), "security.hostNetwork", string(Deny), string(Allow))
	c.oneOf(string(s.RunAsRoot), "security.runAsRoot", string(Deny), string(Allow))
	for i, given := range s.Capabilities {
		_, known := Capability(given)
		c.require(known, fmt.Sprintf("security.capabilities[%d]", i), quoteShort(given)+" is not a capability")
	}
	s.checkNetworks(c)
	for i, name := range s.HostPaths {
		c.require(isPlainPath(name), fmt.Sprintf("security.hostPaths[%d]", i), quoteShort(name)+" is not an absolute path without . and ..")
	}
}

func isPlainPath(name string) bool {
	return path.IsAbs(name) && path.Clean(name) == name && !strings.ContainsRune(name, 0)
}

// checkBehaviour looks at connectivity, offline, health and SLA.
func (p *Policy) checkBehaviour(c *checker) {
	c.span(p.Connectivity.Heartbeat, longestHeartbeat, "connectivity.heartbeat")
	c.span(p.Connectivity.MaxBackoff, longestHeartbeat, "connectivity.maxBackoff")
	c.count(p.Connectivity.OfflineAfter, 0, 1000, "connectivity.offlineAfter")
	c.require(p.Connectivity.MonthlyBytes >= 0, "connectivity.monthlyBytes", "is below zero")
	for i, name := range p.Offline.Stop {
		known := slices.ContainsFunc(p.Workloads, func(w Workload) bool { return name == w.Name || name == w.Key() })
		c.require(known, fmt.Sprintf("offline.stop[%d]", i), "there is no workload "+quoteShort(name))
	}
	c.oneOf(p.Offline.Variants, "offline.variants", VariantsPreferSmall)
	c.oneOf(p.Offline.Routes, "offline.routes", RoutesLocal)
	if w := p.Health.Weights; w != nil {
		c.number(w.CPU, 1000, "health.weights.cpu")
		c.number(w.Memory, 1000, "health.weights.memory")
		c.number(w.ErrorRate, 1000, "health.weights.errorRate")
		c.number(w.LatencyPer100ms, 1000, "health.weights.latencyPer100ms")
	}
	c.number(p.Health.WarnBelow, 100, "health.warnBelow")
	c.oneOf(p.Health.Variants, "health.variants", VariantsPreferSmall)
	c.require(p.Health.Variants == "" || p.Health.WarnBelow > 0, "health.warnBelow", "is needed beside variants: it says when")
	c.span(p.SLA.Window, longestWindow, "sla.window")
	c.number(p.SLA.ScaleUpBelow, 1, "sla.scaleUpBelow")
	c.number(p.SLA.ScaleDownAbove, 1, "sla.scaleDownAbove")
	c.require(p.SLA.ScaleDownAbove == 0 || p.SLA.ScaleUpBelow <= p.SLA.ScaleDownAbove, "sla.scaleDownAbove", "is below sla.scaleUpBelow")
	c.count(p.SLA.MaxReplicas, 0, maxReplicas, "sla.maxReplicas")
}

func (p *Policy) checkTriggers(c *checker) {
	taken := map[string]bool{} // where what is written would be taken for another's
	for _, t := range p.Triggers {
		taken[t.Dir] = t.Dir != ""
	}
	for i, t := range p.Triggers {
		at := fmt.Sprintf("triggers[%d].", i)
		t.check(c, at)
		c.require(!taken[t.Into], at+"into", quoteShort(t.Into)+" is another trigger's folder too; give each its own")
		taken[t.Into] = t.Into != ""
	}
}

func (t Trigger) check(c *checker, at string) {
	sources := 0
	for _, source := range []string{t.MQTT, t.Dir, t.File, t.Input} {
		if source != "" {
			sources++
		}
	}
	c.require(sources == 1, strings.TrimSuffix(at, "."), "must have exactly one of mqtt, dir, file and input")
	c.require(t.MQTT == "" || isTopicFilter(t.MQTT), at+"mqtt", quoteShort(t.MQTT)+" is not a topic filter")
	c.require(t.Dir == "" || isPlainPath(t.Dir), at+"dir", quoteShort(t.Dir)+" is not an absolute path without . and ..")
	_, err := path.Match(t.Glob, "")
	c.require(t.Glob == "" || t.Dir != "" && err == nil && !strings.Contains(t.Glob, "/"), at+"glob", "must be a pattern of file names in dir")
	c.require(IsName(t.Model), at+"model", nameRule)
	c.require(t.Tenant == "" || IsName(t.Tenant), at+"tenant", nameRule)
	c.span(t.Deadline, longestDeadline, at+"deadline")
	t.checkCron(c, at)
	wild := wildcards(t.Reply) // each stands for what the one of mqtt has matched
	c.require(t.Reply == "" || isTopicFilter(t.Reply) && (wild == "" || wild == wildcards(t.MQTT)), at+"reply", quoteShort(t.Reply)+" is not a topic")
}

// checkCron holds what goes by the clock together. Whether the times are times is
// package timetable's to say.
func (t Trigger) checkCron(c *checker, at string) {
	timed := t.IsTimed()
	c.require(t.File == "" || isPlainPath(t.File), at+"file", quoteShort(t.File)+" is not an absolute path without . and ..")
	c.require(len(t.Input) <= maxTriggerInput, at+"input", fmt.Sprintf("has more than %d bytes; let it be a file", maxTriggerInput))
	c.require(!timed || t.Cron != "", at+"cron", "is needed beside file or input: it says when")
	c.require(t.Cron == "" || t.MQTT == "", at+"cron", "cannot hold back messages; it goes with dir, file or input")
	c.require(len(t.Cron) <= 256, at+"cron", "has more than 256 bytes")
	c.require(!timed || isPlainPath(t.Into), at+"into", "must be an absolute path without . and ..: the folder for the verdicts")
	c.require(timed || t.Into == "", at+"into", "is for file and input; the verdicts of a folder's files lie in its done and failed")
	c.require(t.Keep >= 0 && t.Keep <= maxKeep && (timed || t.Keep == 0), at+"keep", fmt.Sprintf("must be 1 to %d, beside into", maxKeep))
	c.require(!timed || t.Reply == "", at+"reply", "is for messages; the verdicts go into a folder")
}

const (
	maxTriggerInput = 4 << 10
	maxKeep         = 10_000
)

// wildcards are those of a topic filter, in order.
func wildcards(filter string) string {
	return strings.Map(func(r rune) rune {
		if r == '+' || r == '#' {
			return r
		}
		return -1
	}, filter)
}

// isTopicFilter follows MQTT 3.1.1: wildcards fill a level, # only the last.
func isTopicFilter(filter string) bool {
	if filter == "" || len(filter) > 256 || strings.ContainsRune(filter, 0) {
		return false
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		if strings.ContainsAny(level, "+#") && len(level) != 1 || level == "#" && i != len(levels)-1 {
			return false
		}
	}
	return true
}
