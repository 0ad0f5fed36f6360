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
	// System is the version of the whole system below the agent.
	System SystemPolicy `json:"system,omitzero"`
}

// SystemPolicy says which version of the whole system a machine is to run, and where its
// bundle is. RAUC installs it, and believes those who may sign systems. The arguments of
// VerbUpdateSystem say the same.
type SystemPolicy struct {
	// Version is what the bundle says of itself; empty: nothing is said about the system.
	Version string `json:"version,omitempty"`
	// Bundle is a file on the machine, by its absolute path, or on a web server.
	Bundle string `json:"bundle,omitempty"`
	// Digest of the bundle's bytes, sha256:…; it may be left out for a file on the machine.
	Digest string `json:"digest,omitempty"`
	// Bandwidth is how many bytes a second the download may take; 0: what there is.
	Bandwidth Size `json:"bandwidth,omitempty"`
	// Restart is when the machine is started anew for it.
	Restart SystemRestart `json:"restart,omitempty"`
}

// SystemRestart is when a machine starts anew in the system that was installed.
type SystemRestart string

// The moments. The empty one is RestartNow.
const (
	RestartNow   SystemRestart = "now"
	RestartLater SystemRestart = "later" // whenever somebody starts it anew
)

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
	checkBandwidth(c, p.Bandwidth, at)
	p.System.check(c, at+"system.")
}

func checkBandwidth(c *checker, b Size, at string) {
	c.require(b == 0 || b >= leastBandwidth, at+"bandwidth", fmt.Sprintf("is below %s a second", Size(leastBandwidth)))
}

// Wants tells whether a version of the system is named.
func (p SystemPolicy) Wants() bool { return p.Version != "" }

// Check finds what cannot be meant, also where no version has to be named, as in a command.
func (p SystemPolicy) Check() error {
	c := checker{}
	p.checkBundle(&c, "")
	return c.err()
}

func (p SystemPolicy) check(c *checker, at string) {
	if p == (SystemPolicy{}) {
		return
	}
	c.require(p.Wants(), at+"version", "is missing: the bundle's own, as `rauc info` shows it")
	p.checkBundle(c, at)
}

func (p SystemPolicy) checkBundle(c *checker, at string) {
	web := isSource(p.Bundle)
	c.require(p.Version == "" || isVersionText(p.Version), at+"version", fmt.Sprintf("must be 1 to %d printable characters without spaces", MaxVersionText))
	c.require(web || isBundlePath(p.Bundle), at+"bundle", quoteShort(p.Bundle)+" is neither the absolute path of a file on the machine nor http:// or https://, a host and a path, without user, query and fragment")
	c.require(p.Digest == "" || IsDigest(p.Digest), at+"digest", "is no sha256:… digest; sha256sum shows it")
	c.require(!web || p.Digest != "", at+"digest", "is needed beside a bundle on a web server; sha256sum shows it")
	checkBandwidth(c, p.Bandwidth, at)
	c.require(p.Restart == "" || p.Restart == RestartNow || p.Restart == RestartLater, at+"restart", quoteShort(string(p.Restart))+" is neither now nor later")
}

// isBundlePath tells an absolute path as people write it from anything a program could take
// for something else.
func isBundlePath(text string) bool {
	return isPlainPath(text) && text != "/" && len(text) <= maxSource &&
		strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// isSource takes what is written once and asked for by many: nothing in it may be a secret.
func isSource(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= maxSource && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == "" && !strings.ContainsAny(text, "?#\\ ")
}
