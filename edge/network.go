package edge

import "fmt"

// checkNetworks looks at what networks a workload has.
func (w Workload) checkNetworks(c *checker, at string) {
	seen := map[string]bool{}
	for i, name := range w.Networks {
		here := fmt.Sprintf("%snetworks[%d]", at, i)
		c.require(IsName(w.App), at+"app", nameRule)
		c.require(IsName(name), here, nameRule)
		c.require(!seen[name], here, quoteShort(name)+" stands twice")
		seen[name] = true
	}
	c.require(len(w.Networks) <= maxNetworks, at+"networks", fmt.Sprintf("%d are more than %d", len(w.Networks), maxNetworks))
	c.require(len(w.Networks) == 0 || !w.Security.HostNetwork, at+"networks", "cannot be had beside the host's network")
}

// maxNetworks is as many interfaces as one instance may have.
const maxNetworks = 8
