package edge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fill gives a workload what the policy says where it says nothing itself: its tenant,
// its limits, and what is set aside for it, which never is more than its limits.
// Filling again changes nothing.
func (p *Policy) Fill(w Workload) Workload {
	most, request := p.Limits.Default, p.Limits.DefaultRequest
	w.Tenant = cmp.Or(w.Tenant, DefaultTenant)
	w.Limits.CPUs = cmp.Or(w.Limits.CPUs, most.CPUs)
	w.Limits.Memory = cmp.Or(w.Limits.Memory, int64(most.Memory))
	w.Limits.Pids = cmp.Or(w.Limits.Pids, most.Pids)
	w.Request.CPUs = within(cmp.Or(w.Request.CPUs, request.CPUs), w.Limits.CPUs)
	w.Request.Memory = within(cmp.Or(w.Request.Memory, int64(request.Memory)), w.Limits.Memory)
	return w
}

// within bounds x by a limit, of which 0 is none.
func within[T int64 | float64](x, limit T) T {
	if limit > 0 {
		return min(x, limit)
	}
	return x
}

// share looks at what the workloads of a tenant use together. Memory counts by limit,
// since what a limit allows can be used up; CPU counts by what is set aside, since
// beyond it there is only what others leave.
func (a *admission) share(w Workload) {
	may, known := a.policy.Tenant(w.Tenant)
	a.require(known, ControlTenant, "tenant", "tenant "+quoteShort(w.Tenant)+", who has no share,", "tenants."+w.Tenant)
	group := a.policy.shareOf(w.Tenant)
	total := a.policy.total(group, &w)
	if may.Memory > 0 && w.Replicas > 0 {
		a.require(w.Limits.Memory > 0, ControlLimits, "limits.memory", "memory without a limit", "limits.default.memory")
		a.require(total.memory <= float64(may.Memory), ControlTenant, "limits.memory",
			total.size()+" for the workloads of tenant "+group+" together", "tenants."+group+".memory: "+total.size())
	}
	if may.CPU > 0 && w.Replicas > 0 {
		a.require(w.cpus() > 0, ControlLimits, "limits.cpus", "CPU without a limit", "limits.default.cpus")
		a.require(total.cpus <= may.CPU+slack, ControlTenant, "limits.cpus",
			total.cores()+" cores for the workloads of tenant "+group+" together", "tenants."+group+".cpu: "+total.cores())
	}
	if may.Instances > 0 && w.Replicas > 0 {
		a.require(total.instances <= float64(may.Instances), ControlTenant, "replicas",
			total.count()+" instances of the workloads of tenant "+group+" together", "tenants."+group+".instances: "+total.count())
	}
}

// slack is for sums of cores such as 0.1, which no binary number is.
const slack = 1e-9

// cpus is what is set aside for an instance.
func (w Workload) cpus() float64 { return cmp.Or(w.Request.CPUs, w.Limits.CPUs) }

// shareOf names the entry a tenant is bounded by. All who are not named share one.
func (p *Policy) shareOf(tenant string) string {
	if _, named := p.Tenants[tenant]; named {
		return tenant
	}
	return DefaultTenant
}

// total is what workloads use together. Its numbers are not whole, for they cannot
// overflow then.
type total struct {
	memory, cpus, instances float64
	parts                   []part
}

// part is what one workload adds.
type part struct {
	key    string
	of     Workload
	memory float64
	cpus   float64
}

func (t total) count() string { return fmt.Sprintf("%.0f", t.instances) }
func (t total) size() string  { return Size(min(t.memory, maxSafeInteger)).String() }
func (t total) cores() string { return fmt.Sprintf("%.4g", t.cpus) }

// total adds up the workloads of one entry; one more, which may be nil, stands in for
// the one of its name.
func (p *Policy) total(group string, more *Workload) total {
	all := p.Workloads
	if more != nil {
		all = slices.DeleteFunc(slices.Clone(all), func(w Workload) bool { return w.Key() == more.Key() })
		all = append(all, *more)
	}
	sum := total{}
	for _, w := range all {
		if w = p.Fill(w); p.shareOf(w.Tenant) == group {
			p := part{w.Key(), w, float64(w.Replicas) * float64(w.Limits.Memory), float64(w.Replicas) * w.cpus()}
			sum.memory, sum.cpus, sum.instances = sum.memory+p.memory, sum.cpus+p.cpus, sum.instances+float64(w.Replicas)
			sum.parts = append(sum.parts, p)
		}
	}
	return sum
}

// checkTotals holds the workloads of the policy against its own tenants.
func (p *Policy) checkTotals(c *checker) {
	for _, name := range sorted(p.Tenants) {
		may, sum, at := p.Tenants[name], p.total(name, nil), "tenants."+name
		c.require(may.Memory == 0 || sum.memory <= float64(may.Memory), at+".memory",
			fmt.Sprintf("its workloads may use %s together, more than %s: %s; raise it, or lower replicas or limits.memory", sum.size(), may.Memory,
				sum.largest(func(p part) float64 { return p.memory }, func(w Workload) string { return Size(w.Limits.Memory).String() })))
		c.require(may.CPU == 0 || sum.cpus <= may.CPU+slack, at+".cpu",
			fmt.Sprintf("%s cores are set aside for its workloads together, more than %v: %s; raise it, or lower replicas or what they set aside", sum.cores(), may.CPU,
				sum.largest(func(p part) float64 { return p.cpus }, func(w Workload) string { return fmt.Sprintf("%.4g", w.cpus()) })))
		c.require(may.Instances == 0 || sum.instances <= float64(may.Instances), at+".instances",
			fmt.Sprintf("its workloads have %s instances together, more than %d; raise it, or lower replicas", sum.count(), may.Instances))
	}
}

// largest names the workloads that add most, each with how many times what.
func (t total) largest(by func(part) float64, each func(Workload) string) string {
	const most = 3
	parts := slices.DeleteFunc(slices.Clone(t.parts), func(p part) bool { return by(p) == 0 })
	SortStable(parts, func(a, b part) int { return cmp.Compare(by(b), by(a)) })
	var words []string
	for _, p := range parts[:min(most, len(parts))] {
		words = append(words, fmt.Sprintf("%s %d × %s", p.key, p.of.Replicas, each(p.of)))
	}
	if len(parts) > most {
		words = append(words, "…")
	}
	return strings.Join(words, ", ")
}
