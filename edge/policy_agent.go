package edge

import (
	"fmt"
	"net/url"
	"strings"
)

// AgentPolicy says which version of the agent itself a node is to run, and where to get
// it. The arguments of VerbUpdate say the same.
type AgentPolicy struct {
	// Release is the digest of what was signed of the release document, sha256:…; empty:
	// nothing is said about the agent's version, and it stays.
	Release string `json:"release,omitempty"`
	// Sources are release folders on web servers, asked in this order.
	Sources []string `json:"sources,omitempty"`
	// Bandwidth is how many bytes a second the download may take; 0: what there is.
	Bandwidth Size `json:"bandwidth,omitempty"`
}

const (
	maxSources = 8
	maxSource  = 512
	// leastBandwidth brings a piece within half of the time a source is given for it.
	leastBandwidth = 4 << 10
)

// Wants tells whether a version is named.
func (p AgentPolicy) Wants() bool { return p.Release != "" }

// Check finds what cannot be meant. Every defect is a *FieldProblem.
func (p AgentPolicy) Check() error {
	c := checker{}
	p.check(&c, "")
	return c.err()
}

func (p AgentPolicy) check(c *checker, at string) {
	c.require(p.Release == "" || IsDigest(p.Release), at+"release", "is no sha256:… digest; `holdfast release verify` shows it")
	c.require(p.Wants() || len(p.Sources) == 0 && p.Bandwidth == 0, at+"release", "is needed beside sources and bandwidth: it says what to get")
	c.require(!p.Wants() || len(p.Sources) > 0, at+"sources", "is needed beside release: it says where to get it")
	c.count(len(p.Sources), 0, maxSources, at+"sources")
	for i, source := range p.Sources {
		c.require(isSource(source), fmt.Sprintf("%ssources[%d]", at, i), quoteShort(source)+" is not http:// or https://, a host and a path, without user, query and fragment")
	}
	c.require(p.Bandwidth == 0 || p.Bandwidth >= leastBandwidth, at+"bandwidth", fmt.Sprintf("is below %s a second", Size(leastBandwidth)))
}

// isSource takes what is written once and asked for by many: nothing in it may be a secret.
func isSource(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= maxSource && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == "" && !strings.ContainsAny(text, "?#\\ ")
}
