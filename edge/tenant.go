package edge

import (
	"cmp"
	"fmt"
	"slices"
)

// DefaultTenant stands for every tenant that is not named.
const DefaultTenant = "_default"

// TenantPolicy is the share of one tenant. Zero leaves a quantity unbounded.
type TenantPolicy struct {
	CPU    float64 `json:"cpu,omitempty"`    // CPU seconds a second
	Memory Size    `json:"memory,omitempty"` // of its workloads together
	// Instances are how many its workloads may have together, one more of each that is
	// being replaced left aside.
	Instances int  `json:"instances,omitempty"`
	Rate      Rate `json:"rate,omitzero"`   // tasks
	Burst     int  `json:"burst,omitempty"` // tasks at once above the rate; 0: as many as the rate has in a second, at least one

	Models  []string `json:"models,omitempty"`  // it may ask, variants by their own names; empty: all
	Classes []Class  `json:"classes,omitempty"` // its tasks may have; empty: all
}

// ShareOf names the entry that a tenant's workloads count against, which all who have none
// of their own share, and tells what it allows.
func (p *Policy) ShareOf(tenant string) (name string, may TenantPolicy) {
	may, known := p.Tenant(cmp.Or(tenant, DefaultTenant))
	if !known {
		return "", TenantPolicy{}
	}
	return p.shareOf(cmp.Or(tenant, DefaultTenant)), may
}

// maxInstances is beyond what any gateway holds; catches a slip.
const maxInstances = 10_000

// TenantReport is how one entry of the policy's tenants stands. All tenants that are
// not named share the entry of DefaultTenant.
type TenantReport struct {
	Tenant    string `json:"tenant"`
	Submitted uint64 `json:"submitted"`
	OverQuota uint64 `json:"overQuota"` // refused because the rate was used up
	// Denied were refused because the policy does not allow them, or were waiting
	// when it ceased to.
	Denied uint64 `json:"denied"`
	Rate   Rate   `json:"rate,omitzero"`    // zero: unbounded
	Burst  int    `json:"burst,omitempty"`  // tasks at once
	Tokens int    `json:"tokens,omitempty"` // of the burst, left at this moment
	// Shut tells that the policy has no such entry: whoever falls to it is denied.
	Shut bool `json:"shut,omitempty"`
}

// checkTenants looks at who may use how much.
func (p *Policy) checkTenants(c *checker) {
	served := map[string]bool{}
	for _, w := range p.Workloads {
		for _, model := range w.Serve.Models() {
			served[model] = true
		}
	}
	for _, name := range sorted(p.Tenants) {
		at := "tenants." + name
		c.require(IsName(name) || name == DefaultTenant, at, nameRule)
		p.Tenants[name].check(c, at, served)
	}
}

func (t TenantPolicy) check(c *checker, at string, served map[string]bool) {
	c.number(t.CPU, maxCores, at+".cpu")
	c.require(t.Memory >= 0, at+".memory", "is below zero")
	c.count(t.Instances, 0, maxInstances, at+".instances")
	c.require(t.Rate == Rate{} || t.Rate.Count > 0 && t.Rate.Per > 0, at+".rate", "must be above zero")
	c.count(t.Burst, 0, maxQueue, at+".burst")
	c.require(t.Burst == 0 || t.Rate.Count > 0, at+".burst", "needs a rate")
	for i, model := range t.Models {
		field := fmt.Sprintf("%s.models[%d]", at, i)
		c.require(served[model], field, "no workload serves "+quoteShort(model))
		c.require(!slices.Contains(t.Models[:i], model), field, quoteShort(model)+" stands twice")
	}
	for i, class := range t.Classes {
		c.require(!slices.Contains(t.Classes[:i], class), fmt.Sprintf("%s.classes[%d]", at, i), class.String()+" stands twice")
	}
}
