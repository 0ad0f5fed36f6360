package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/host"
	"holdfast/runtime/containerd"
)

// The codes of the warnings of what workloads may use together.
const (
	codeMemoryClaimed = "memory-overclaimed"
	codeCPUClaimed    = "cpu-overclaimed"
	codeBounds        = "bounds-not-kept"
	codeDiskWeights   = "disk-weights-idle"
	codeMemoryTight   = "memory-tight"
)

const (
	// claimsEvery is how often what is used is looked at: some ten small files.
	claimsEvery = 30 * time.Second
	// tightFrom and tightUntil are hundredths of a bound: from the one on its memory is
	// tight, until less than the other is used.
	tightFrom, tightUntil = 90, 80
)

// means are what there is to share.
type means struct {
	memory int64 // bytes
	cores  int
}

// claims holds what workloads may use together against what the node has for them, once
// the reserve is off, and what they do use against their bounds. What is set aside must
// fit, or a policy is refused; what only limits allow may be more, which is told, for then
// the kernel decides: it ends who has set nothing aside first, the largest of them.
type claims struct {
	machine  func() means // nothing is known of a machine without memory
	reserve  config.Reserve
	limits   edge.Limits // of a workload that names none
	confine  func() error
	weights  func() error
	portions func() []containerd.Portion
	shown    *sharedWarnings

	mu     sync.Mutex // guards what follows; held while small files of the kernel are read
	runs   bool       // before that the agent may yet be turned away, and changes nothing
	wanted []edge.Workload
	tight  map[string]bool // whose memory, by tenant; "" for all instances
}

func (a *Agent) newClaims(c config.Config) *claims {
	return &claims{
		machine: sync.OnceValue(readMachine), reserve: c.Reserve, limits: c.Limits.Default.Edge(),
		confine: a.driver.Confine, weights: a.driver.DiskWeights, portions: a.driver.Portions,
		shown: &sharedWarnings{warnings: a.warnings}, tight: map[string]bool{},
	}
}

// readMachine leaves out what cannot be read: nothing is held against it then.
func readMachine() means {
	facts, _ := host.ReadFacts("")
	return means{int64(facts.Memory), facts.CPUs}
}

// Memory is what instances may have together; 0: nobody knows.
func (c *claims) Memory() int64 {
	total := c.machine().memory
	return total - int64(c.reserve.Of(config.Size(total)))
}

// cpus is what may be set aside of the cores.
func (c *claims) cpus() float64 { return max(0, float64(c.machine().cores)-c.reserve.CPUs) }

// Run looks at what is used until ctx ends.
func (c *claims) Run(ctx context.Context) error {
	ticker := time.NewTicker(claimsEvery)
	defer ticker.Stop()
	c.mu.Lock()
	c.runs = true
	c.mu.Unlock()
	for {
		c.look()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Take looks at what is to run from now on.
func (c *claims) Take(workloads []edge.Workload) {
	c.mu.Lock()
	c.wanted = slices.Clone(workloads)
	c.mu.Unlock()
	c.look()
}

// look tells what there is to tell.
func (c *claims) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.runs {
		return
	}
	standing := slices.Concat(c.overLocked(), c.tightLocked())
	if err := c.confine(); err != nil {
		standing = append(standing, edge.Warning{
			Code: codeBounds, Subject: "memory", Detail: err.Error(),
			Remedy: cmp.Or(edge.HintOf(err), "it is tried again as instances go; until then limits hold each of them, and nothing holds them together"),
		})
	}
	if i := slices.IndexFunc(c.wanted, func(w edge.Workload) bool { return w.IOWeight > 0 && w.Replicas > 0 }); i >= 0 {
		if err := c.weights(); err != nil {
			standing = append(standing, edge.Warning{
				Code: codeDiskWeights, Subject: "disk", Detail: fmt.Sprintf("%s has a weight of the disk, and %v; it runs without", c.wanted[i].Key(), err),
				Remedy: edge.HintOf(err),
			})
		}
	}
	c.shown.share(standing)
}

// overLocked finds claims beyond what there is.
func (c *claims) overLocked() []edge.Warning {
	if c.machine().memory == 0 {
		return nil
	}
	var over []edge.Warning
	sum, most := c.sum(c.wanted), c.Memory()
	const remedy = "lower replicas or limits.memory, or let what must stay set memory aside (deploy.resources.reservations): whoever sets none aside is ended first, the largest of them"
	switch {
	case sum.aside > most:
		over = append(over, edge.Warning{Code: codeMemoryClaimed, Subject: "node", Detail: c.asideTooMuch(sum).Error(), Remedy: remedy})
	case sum.memory > most:
		over = append(over, edge.Warning{
			Code: codeMemoryClaimed, Subject: "node", Remedy: remedy,
			Detail: fmt.Sprintf("instances may use %s together, and the node has %s: %s", bytesOf(uint64(sum.memory)), c.has(), sum.largest(func(p demand) float64 { return float64(p.memory) }, inBytes)),
		})
	}
	if sum.cpus > c.cpus()+slackCores {
		over = append(over, edge.Warning{
			Code: codeCPUClaimed, Subject: "node", Detail: c.cpusTooMuch(sum).Error(),
			Remedy: "set less aside (deploy.resources.reservations.cpus), or lower replicas; until then each has a part of what it set aside when the node is short",
		})
	}
	return over
}

// Feasible refuses a policy whose workloads set more aside than the node has.
func (c *claims) Feasible(policy *edge.Policy) error {
	if c.machine().memory == 0 {
		return nil
	}
	var workloads []edge.Workload
	for _, w := range policy.Workloads {
		workloads = append(workloads, policy.Fill(w))
	}
	sum := c.sum(workloads)
	var failed error
	if sum.aside > c.Memory() {
		failed = c.asideTooMuch(sum)
	}
	if sum.cpus > c.cpus()+slackCores {
		failed = errors.Join(failed, c.cpusTooMuch(sum))
	}
	return edge.WithHint(failed, "set less aside (deploy.resources.reservations, or limits.defaultRequest of the policy), lower replicas, or keep less for the node (reserve.memory, reserve.cpus in its configuration)")
}

// slackCores is for sums of cores such as 0.1, which no binary number is.
const slackCores = 1e-9

func (c *claims) asideTooMuch(sum demands) error {
	return fmt.Errorf("workloads set %s of memory aside together, and the node has %s: %s: %w", bytesOf(uint64(sum.aside)), c.has(),
		sum.largest(func(p demand) float64 { return float64(p.aside) }, inBytes), edge.ErrInvalid)
}

func (c *claims) cpusTooMuch(sum demands) error {
	return fmt.Errorf("workloads set %.4g cores aside together, and the node has %.4g for them (%d, of which %.4g are kept: reserve.cpus): %s: %w",
		sum.cpus, c.cpus(), c.machine().cores, c.reserve.CPUs, sum.largest(func(p demand) float64 { return p.cpus }, inCores), edge.ErrInvalid)
}

// has says what there is for instances.
func (c *claims) has() string {
	total, most := c.machine().memory, c.Memory()
	return fmt.Sprintf("%s for them (%s, of which %s are kept: reserve.memory)", bytesOf(uint64(most)), bytesOf(uint64(total)), bytesOf(uint64(total-most)))
}

// demands are what workloads demand together.
type demands struct {
	memory, aside int64 // bytes that limits allow, and that are set aside
	cpus          float64
	parts         []demand
}

// demand is what all instances of one workload claim.
type demand struct {
	key           string
	memory, aside int64
	cpus          float64
}

func (c *claims) sum(workloads []edge.Workload) demands {
	var all demands
	for _, w := range workloads {
		n := int64(w.Replicas)
		p := demand{w.Key(), n * cmp.Or(w.Limits.Memory, c.limits.Memory), n * w.Request.Memory, float64(n) * w.Request.CPUs}
		all.memory, all.aside, all.cpus = all.memory+p.memory, all.aside+p.aside, all.cpus+p.cpus
		all.parts = append(all.parts, p)
	}
	return all
}

// largest names the three that claim most.
func (s demands) largest(by func(demand) float64, words func(float64) string) string {
	parts := slices.DeleteFunc(slices.Clone(s.parts), func(p demand) bool { return by(p) == 0 })
	edge.SortStable(parts, func(a, b demand) int { return cmp.Compare(by(b), by(a)) })
	var names []string
	for _, p := range parts[:min(3, len(parts))] {
		names = append(names, p.key+" "+words(by(p)))
	}
	return strings.Join(names, ", ")
}

func inBytes(n float64) string { return bytesOf(uint64(n)) }
func inCores(n float64) string { return fmt.Sprintf("%.4g", n) }
