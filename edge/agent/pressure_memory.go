package agent

import (
	"cmp"
	"fmt"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// tightLocked finds bounds that are nearly used up, and says who is ended first when they
// are.
func (c *claims) tightLocked() []edge.Warning {
	var found []edge.Warning
	standing := map[string]bool{}
	for _, p := range c.portions() {
		from := int64(tightFrom)
		if c.tight[p.Tenant] {
			from = tightUntil
		}
		if p.Used < p.Most/100*from {
			continue
		}
		standing[p.Tenant] = true
		found = append(found, tightness(p))
	}
	c.tight = standing
	return found
}

func tightness(p containerd.Portion) edge.Warning {
	of, subject := "all instances together", "node"
	if p.Tenant != "" {
		of, subject = "tenant "+p.Tenant, p.Tenant
	}
	return edge.Warning{
		Code: codeMemoryTight, Subject: subject,
		Detail: fmt.Sprintf("%s of the %s that %s may have are used; when more is wanted the kernel ends %s first", bytesOf(uint64(p.Used)), bytesOf(uint64(p.Most)), of,
			cmp.Or(p.First, "the largest")),
		Remedy: "lower limits.memory or replicas, or let what must stay set memory aside (deploy.resources.reservations)",
	}
}
