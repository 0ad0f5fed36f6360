package edge

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// checkWorkloads looks at what the policy wants to run. What Compose says was
// checked when the policy was built; here stands what every reader relies on.
func (p *Policy) checkWorkloads(c *checker) {
	seen := map[string]bool{}
	for i, w := range p.Workloads {
		at := fmt.Sprintf("workloads[%d]", i)
		c.require(IsName(w.App), at+".app", nameRule)
		c.require(IsName(w.Name), at+".name", nameRule)
		c.require(!seen[w.Key()], at, quoteShort(w.Key())+" stands twice")
		seen[w.Key()] = true
		c.require(isPinned(w.Image), at+".image", quoteShort(w.Image)+" is not pinned by a sha256 digest")
		c.require(p.Security.Images.Allows(w.Image), at+".image", quoteShort(w.Image)+" does not fit security.images.allow")
		w.check(c, at)
	}
}

func (w Workload) check(c *checker, at string) {
	c.count(w.Replicas, 0, maxReplicas, at+".replicas")
	InstanceLimits{w.Limits.CPUs, Size(w.Limits.Memory), w.Limits.Pids}.check(c, at+".limits.")
	for i, entry := range w.Env {
		name, _, both := strings.Cut(entry, "=")
		c.require(both && name != "" && !strings.ContainsRune(entry, 0), fmt.Sprintf("%s.env[%d]", at, i), "must be KEY=value")
	}
	for i, mount := range w.Tmpfs {
		c.require(isPlainPath(mount.Path), fmt.Sprintf("%s.tmpfs[%d].path", at, i), quoteShort(mount.Path)+" is not an absolute path without . and ..")
		c.require(mount.Size >= 0, fmt.Sprintf("%s.tmpfs[%d].size", at, i), "is below zero")
	}
	c.require(w.WorkingDir == "" || strings.HasPrefix(w.WorkingDir, "/"), at+".workingDir", quoteShort(w.WorkingDir)+" is not absolute")
	c.oneOf(string(w.Restart), at+".restart", string(RestartAlways), string(RestartOnFailure), string(RestartNo))
	c.duration(w.StopGrace, at+".stopGrace")
	if w.Serve != nil {
		w.Serve.check(c, at+".serve.")
	}
}

func (s *Serve) check(c *checker, at string) {
	c.require(IsName(s.Model), at+"model", nameRule)
	for i, name := range s.Variants {
		c.require(IsName(name), fmt.Sprintf("%svariants[%d]", at, i), nameRule)
	}
	c.require(s.Endpoint != "", at+"endpoint", "is missing")
	c.count(s.Concurrency, 0, 1024, at+"concurrency")
	c.duration(s.Cost, at+"cost")
	c.duration(s.Timeout, at+"timeout")
	c.duration(s.ReadyWithin, at+"readyWithin")
}

// duration bounds the times of a workload, which are numbers of nanoseconds.
func (c *checker) duration(d time.Duration, field string) {
	c.require(d >= 0 && d <= 24*time.Hour, field, fmt.Sprintf("%v is not between 0 and 24h", d))
}

// isPinned tells whether an image is named by what it contains.
func isPinned(image string) bool {
	name, digest, found := strings.Cut(image, "@sha256:")
	raw, err := hex.DecodeString(digest)
	return found && name != "" && !strings.ContainsAny(name, "@ \t\r\n\x00") && err == nil && len(raw) == 32 && digest == strings.ToLower(digest)
}
